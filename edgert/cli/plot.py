"""`edgert plot`: draws a resource log."""

import os

from edgert.errors import InputError

EXAMPLE = """
edgert plot run.jsonl -o run.png     # after: edgert run model.bin photos/ --log-resources run.jsonl
"""

SUFFIXES = (".png", ".svg", ".pdf")


def configure(parser):
    parser.add_argument("log", metavar="LOG", help="a .jsonl or .csv that --log-resources wrote")
    parser.add_argument("-o", "--output", metavar="FILE", help="picture to make, .png, .svg or .pdf (LOG with .png)")


def run(args):
    from edgert import monitor
    from edgert.cli.page import resources
    from edgert.optional import require

    output = args.output or os.path.splitext(args.log)[0] + ".png"
    if not output.endswith(SUFFIXES):
        raise InputError(f"{output}: give a name that ends in {', '.join(SUFFIXES)}")
    records = monitor.read_log(args.log)
    require("matplotlib", "plotting")
    resources.draw(records, output, os.path.basename(args.log))
    print(f"{output}: {len(records)} records over {records[-1]['time_s'] - records[0]['time_s']:.0f} s")
