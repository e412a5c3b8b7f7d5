"""What the studies share: their options, and where their record goes."""

import argparse
import json
from pathlib import Path

from edgert.convert import report


def parser(description):
    """An argument parser with the options that every study takes."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--json", type=Path, metavar="FILE", help="keep the record here")
    made.add_argument("--report", type=Path, metavar="FILE", help=".md or .html to write")
    made.add_argument("--turns", type=int, default=5, help="turns of each variant (5)")
    return made


def keep(record, args):
    """Write what was asked for and print the verdicts."""
    if args.json:
        args.json.write_text(json.dumps(record) + "\n")
    if args.report:
        report.write(record, args.report)
    for verdict in record["verdicts"]:
        print(verdict)
