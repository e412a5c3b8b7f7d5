"""`edgert serve`: a service that answers for months. This verb checks what was asked and becomes the supervisor."""

import os
import signal
import sys

from edgert.errors import InputError

EXAMPLE = """
edgert serve detector.bin --camera camera --fps 10
edgert serve detector.bin --camera /dev/video0 --host 0.0.0.0 --token-file token
edgert serve detector.bin --camera synthetic:640x480@30,fault=hang@300
edgert serve --config edgert.conf
"""


def configure(parser):
    parser.add_argument("model", nargs="*", metavar="MODEL", help="a model for a camera, one for prompts, or both")
    parser.add_argument("--camera", metavar="SOURCE", help="what to watch, as in edgert run --source (camera)")
    parser.add_argument("--size", metavar="WxH", help="frame size asked of a camera")
    parser.add_argument("--lores", metavar="WxH", help="a Pi camera's second stream, for the model")
    parser.add_argument("--fps", metavar="N", help="the most frames a second (what the board sustains)")
    parser.add_argument("--score", metavar="T", help="detector: least score shown (the file's)")
    parser.add_argument("--threads", metavar="N", help="threads of one answer (all cores but one)")
    parser.add_argument("--host", metavar="ADDRESS", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", metavar="N", help="port to listen on (8080); 0: any free one")
    parser.add_argument("--unix", metavar="PATH", help="a unix socket to listen on as well")
    parser.add_argument("--token-file", metavar="FILE", help="password of clients; needed beyond this machine")
    parser.add_argument("--mqtt", metavar="URL", help="publish what is seen: mqtt://broker/topic")
    parser.add_argument("--state", metavar="DIR", help="keep the last good model here")
    parser.add_argument("--log-resources", metavar="FILE", help="a record a second into FILE.jsonl or FILE.csv")
    parser.add_argument("--config", metavar="FILE", help="the same names as lines: name = value")


def run(args):
    from edgert.serve import settings, supervisor

    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the supervisor hears it, it would end the service
    asked = {name: getattr(args, name, None) for name in settings.NAMES}
    given = {name: settings.read(name, text) for name, text in asked.items() if isinstance(text, str)}
    if args.model:
        given["model"] = [settings.read("model", path) for path in args.model]
    given = _with_camera(given, settings.complete(given, args.config))
    words = [args.config or "-", *settings.to_words(given)]
    sys.stdout.flush()
    # What this check needed is not kept for months: the same process goes on as a smaller one.
    os.execv(sys.executable, [sys.executable, "-c", supervisor.START, *words])


def _with_camera(given, asked):
    """The settings with a camera where a model needs one. Raises: EdgertError if a model cannot be read or served."""
    from edgert.format import reader

    tasks = [reader.read(path).graph.metadata.task for path in asked["model"]]
    seeing = [task for task in tasks if task != "generate"]
    if len(seeing) > 1 or len(tasks) - len(seeing) > 1:
        raise InputError(f"tasks {' and '.join(tasks)}: a service has one model for a camera and one for prompts")
    if seeing and "camera" not in asked:
        return given | {"camera": "camera"}
    if "camera" in asked and not seeing:
        raise InputError(f"a camera is asked for, and no model takes pictures (the task is {tasks[0]})")
    return given
