"""What the scripts of this folder share on their command lines."""

import argparse
from pathlib import Path


def parser_of(text):
    """A parser with --build and --threads; text: the script's own description."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    folder = Path(__file__).resolve().parent / "build"
    parser.add_argument("--build", type=Path, default=folder, help="folder of checkpoints and the teacher's answers")
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's choice)")
    return parser
