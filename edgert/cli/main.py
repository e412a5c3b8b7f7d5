"""`edgert VERB ...`: finds the verb, parses its arguments, turns errors into one line and an exit code."""

import argparse
import os
import sys
import warnings

import edgert
from edgert.errors import EdgertError

VERBS = {
    "run": "answer for pictures, arrays or prompts",
    "convert": "turn a trained model into one model file",
    "inspect": "what is inside a model and what runs it",
    "verify": "check a model file and its golden answers",
    "bench": "how long one answer takes",
    "profile": "where the time goes, node by node",
    "tune": "choose the fastest kernels on this machine",
    "serve": "answer a camera and prompts for months, over HTTP",
    "plot": "draw a resource log of edgert run",
    "report": "a conversion or a study as one page",
    "eval": "accuracy over labelled pictures, loss over a text",
    "deploy": "put edgert and a model on a board over ssh",
    "doctor": "what this machine can do and what troubles it",
}

INTERRUPTED = 130
BROKEN_PIPE = 141  # 128 + SIGPIPE, as a shell reports a program that writes into a closed pipe


def main(argv=None):
    """Run one command; returns the exit code."""
    argv = sys.argv[1:] if argv is None else list(argv)
    debug = "--debug" in argv
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a name that this terminal cannot show is no reason to fail
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _dispatch(argv)
        sys.stdout.flush()
        return code
    except EdgertError as error:
        return _fail(error, error.exit_code, debug)
    except ModuleNotFoundError as error:
        from edgert.optional import PACKAGES, install_command

        if error.name not in PACKAGES:
            raise
        package = PACKAGES[error.name]
        return _fail(f"this needs {package}: {install_command(package)}", 1, debug)
    except BrokenPipeError:
        _discard_stdout()
        return BROKEN_PIPE
    except OSError as error:
        if error.filename is None or error.strerror is None:
            raise
        return _fail(f"{os.fsdecode(error.filename)}: {error.strerror}", 1, debug)
    except KeyboardInterrupt:
        return INTERRUPTED
    except SystemExit as stop:  # argparse has said what was wrong, or printed the help
        return stop.code if isinstance(stop.code, int) else 0


def _dispatch(argv):
    verb = next((word for word in argv if not word.startswith("-")), None)
    before_verb = argv[: argv.index(verb)] if verb else argv
    if verb is None or verb not in VERBS or set(before_verb) - {"--debug"}:
        _top_parser().parse_args(before_verb + ([verb] if verb else []))
        return 2
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # a decoder's remark on a damaged picture is not for the user
    module = __import__(f"edgert.cli.{verb}", fromlist=["run"])
    what = VERBS[verb]
    parser = _parser(f"edgert {verb}", what[0].upper() + what[1:] + ".", "example:\n" + _indent(module.EXAMPLE))
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    module.configure(parser)
    # Intermixed: plain parse_args takes `run model.bin --top 1 cat.jpg` for wrong usage.
    args = parser.parse_intermixed_args([word for i, word in enumerate(argv) if i != len(before_verb)])
    return module.run(args) or 0


def _top_parser():
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {verb:{width}}  {what}" for verb, what in VERBS.items())
    parser = _parser(
        "edgert",
        "Runs INT8 models on small machines.",
        f"verbs (edgert VERB --help tells more):\n{verbs}\n\nexample:\n  edgert run model.bin --image cat.jpg",
    )
    parser.add_argument("--version", action="version", version=f"edgert {edgert.__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument("verb", choices=VERBS, metavar="VERB", help=argparse.SUPPRESS)
    return parser


def _parser(prog, description, epilog):
    # A width given here keeps argparse from importing shutil and its compression modules: 8 ms of every start.
    def formatter(prog):
        return argparse.RawDescriptionHelpFormatter(prog, max_help_position=28, width=_terminal_width())

    return argparse.ArgumentParser(
        prog, description=description, epilog=epilog, formatter_class=formatter, allow_abbrev=False
    )


def _terminal_width():
    try:
        return max(40, min(100, os.get_terminal_size(sys.stdout.fileno()).columns - 2))
    except (OSError, ValueError):
        return 98


def _indent(text):
    return "\n".join("  " + line for line in text.strip().splitlines())


def _fail(error, code, debug):
    if debug:
        import traceback

        traceback.print_exc()
    from edgert.messages import say

    say(error)
    return code


def _discard_stdout():
    """What is still buffered would fail again when Python closes stdout at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
