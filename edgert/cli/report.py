"""`edgert report`: a study or a conversion as one HTML page, or as Markdown."""

import os

from edgert.cli import options
from edgert.errors import InputError

EXAMPLE = """
edgert report model.bin -o model.html                            # what was converted, what each node costs here
edgert report model.bin --float model.tflite --data test.npz     # and what quantisation did to each node
edgert report study.json -o study.md                             # a study of edgert.convert.optimize, kept as JSON
"""


def configure(parser):
    parser.add_argument("source", metavar="FILE", help="a model file, or a study's record (.json)")
    parser.add_argument("-o", "--output", metavar="FILE", help="report to write, .html or .md (FILE with .html)")
    parser.add_argument("--float", metavar="FILE", help="the float model that was quantised, for each node's error")
    parser.add_argument("--data", metavar="FILE.npz", help="inputs for that: x, pictures or the model's own numbers")
    parser.add_argument("--threads", type=options.positive, metavar="N", help="threads of one answer (1)")
    parser.add_argument("--save", metavar="FILE.json", help="also keep the record that the report is drawn from")


def run(args):
    import json

    from edgert.convert import report

    output = args.output or os.path.splitext(args.source)[0] + ".html"
    report.check_name(output)
    if (args.float is None) != (args.data is None):
        raise InputError("--float and --data belong together: the float network, and inputs to compare with")
    record = _read(args.source) if args.source.endswith(".json") else _conversion(args)
    report.write(record, output)
    if args.save:
        with open(args.save, "w", encoding="utf-8") as file:
            json.dump(record, file)
    print(f"{output}: {os.path.getsize(output):,} bytes")


def _read(path):
    import json

    with open(path, encoding="utf-8", errors="replace") as file:
        try:
            return json.load(file)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}: no JSON: {error}") from None


def _conversion(args):
    from edgert.convert.report.conversion import record_of

    if args.float is None:
        return record_of(args.source, threads=args.threads or 1)
    import numpy as np

    from edgert import convert
    from edgert.convert.quantize import samples

    graph, _ = convert.load(args.float)
    taken = samples.load(graph, args.data, 8)
    return record_of(args.source, graph, np.concatenate([sample[0] for sample in taken]), args.threads or 1)
