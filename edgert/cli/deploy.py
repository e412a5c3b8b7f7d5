"""`edgert deploy`: put edgert and a model on a board over ssh, prove it there, and go back."""

import os
import shlex
import sys

from edgert.cli.inputs import check_file
from edgert.cli.options import add_json, positive
from edgert.errors import DeployError, EdgertError, InputError

EXAMPLE = """
edgert deploy pi@raspberrypi.local detector.bin --camera
edgert deploy pi@raspberrypi.local shakespeare.bin --prompt --network
edgert deploy pi@raspberrypi.local model.bin
edgert deploy --host-file boards.txt detector.bin --camera --wheels wheels/
edgert deploy status pi@raspberrypi.local
edgert deploy logs pi@raspberrypi.local --follow
edgert deploy rollback pi@raspberrypi.local
edgert deploy --here detector.bin --camera
"""

ACTIONS = ("status", "logs", "rollback", "remove")
RUN_THERE = "/opt/edgert/current/venv/bin/edgert run /opt/edgert/current/model.bin"


def configure(parser):
    parser.add_argument(
        "words",
        nargs="*",
        metavar="[status|logs|rollback|remove] HOST [MODEL]",
        help="a host as ssh knows it, and the model file to put there",
    )
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument(
        "--camera", nargs="?", const="", metavar="SOURCE", help="run a service on camera frames (the Pi's camera)"
    )
    kind.add_argument("--prompt", action="store_true", help="run a service that answers prompts")
    parser.add_argument("--network", action="store_true", help="the service listens on the network, with a token")
    parser.add_argument(
        "--serve-options", default="", metavar="WORDS", help="more for edgert serve: --serve-options='--fps 10'"
    )
    parser.add_argument("--keep-journal", action="store_true", help="leave the board's journal where it is")
    parser.add_argument(
        "--health", type=float, default=5.0, metavar="S", help="seconds that a service must stay up and well (5)"
    )
    parser.add_argument(
        "--wheels", default="dist", metavar="DIR", help="edgert's wheel, and others to take along (dist)"
    )
    parser.add_argument("--host-file", metavar="FILE", help="one host a line; the first is the canary, a failure stops")
    parser.add_argument("--here", action="store_true", help="this machine, without ssh, in the place of a HOST")
    parser.add_argument("--insist", action="store_true", help="try a model again that failed there before")
    parser.add_argument("--dry-run", action="store_true", help="look and say what would be sent; change nothing")
    parser.add_argument("--ssh", default="ssh", metavar="COMMAND", help="ssh and its options, as in 'ssh -p 2222'")
    parser.add_argument("--lines", type=positive, default=50, metavar="N", help="logs: the last N lines (50)")
    parser.add_argument("--follow", action="store_true", help="logs: and those to come, until Ctrl-C")
    add_json(parser)


def run(args):
    words = list(args.words)
    action = words.pop(0) if words and words[0] in ACTIONS else "deploy"
    model = _model(words, args) if action == "deploy" else None
    hosts = _hosts(words, args)
    code = 0
    for number, name in enumerate(hosts):
        if len(hosts) > 1 and action == "deploy":
            print(f"{name}{'' if number else ' (canary)'}", file=sys.stderr)
        try:
            _one(action, name, model, args)
        except EdgertError as error:
            left = hosts[number + 1 :]
            if action == "status" and left:  # a board that is away hides no other
                print(f"edgert: {error}", file=sys.stderr)
                code = DeployError.exit_code
                continue
            if left:
                error.args = (f"{error}; not tried after that: {', '.join(left)}",)
            raise
    return code


def _model(words, args):
    if words and (len(words) > 1 or args.here or args.host_file):
        if not os.path.exists(words[-1]):
            raise InputError(f"{words[-1]}: no such file; the model comes last: edgert deploy HOST MODEL")
        return words.pop()
    swallowed = f" (--camera took {args.camera!r}: put it last)" if args.camera else ""
    if args.here:
        raise InputError(f"no model is named: edgert deploy --here model.bin{swallowed}")
    raise InputError(f"no model is named, or no host: edgert deploy pi@raspberrypi.local model.bin{swallowed}")


def _hosts(words, args):
    names = list(words)
    if args.host_file:
        check_file(args.host_file)
        try:
            with open(args.host_file, encoding="utf-8") as file:
                lines = [line.partition("#")[0].strip() for line in file]
        except UnicodeDecodeError:
            raise InputError(f"{args.host_file}: no text; one host a line is wanted") from None
        names += [line for line in lines if line]
    if args.here:
        if names:
            raise InputError(f"--here is this machine; a host is named too: {names[0]}")
        names = ["this machine"]
    if not names:
        raise InputError("no host is named: edgert deploy pi@raspberrypi.local model.bin")
    return names


def _one(action, name, model, args):
    from edgert.deploy.host import Here, Host
    from edgert.deploy.steps import deploy

    with Here() if args.here else Host(name, tuple(shlex.split(args.ssh))) as host:
        if action == "deploy":
            answer = deploy(
                host, model, wheel_folder=args.wheels, say=_say, service=_service(args), health_s=args.health,
                insist=args.insist, dry_run=args.dry_run,
            )  # fmt: skip
        else:
            host.send_program()
            if action == "logs":
                return _show_logs(host, args)
            words = ["--health", str(args.health)] if action == "rollback" else []
            answer = host.call(action, *words, heard=lambda line: _say(line["step"], line["text"]))
            if action == "remove":
                host.forget_program(every=True)
    return _show(action, name, answer, args)


def _service(args):
    from edgert.deploy.units import Unit

    if args.camera is None and not args.prompt:
        for name in ("network", "serve_options", "keep_journal"):
            if getattr(args, name):
                raise InputError(f"--{name.replace('_', '-')} is about a service: name --camera or --prompt")
        return None
    kind = "prompt" if args.prompt else "camera"
    return Unit(kind, args.camera or "", args.serve_options, args.network, args.keep_journal)


def _say(step, text):
    print(f"  {step:10} {text}", file=sys.stderr, flush=True)


def _show_logs(host, args):
    from edgert.cli.text import printable

    units = host.call("status")["units"]
    if not units:
        raise InputError(f"{host.name}: no service is deployed there")
    words = [word for unit in units for word in ("-u", unit)] + ["-n", str(args.lines)]
    words += ["-o", "json" if args.json else "short-iso", "--no-pager", *(["-f"] if args.follow else [])]
    host.run_as_root(
        shlex.join(["journalctl", *words]),
        heard=lambda line: print(printable(line.decode(errors="replace").rstrip("\n")), flush=True),
    )


def _show(action, name, answer, args):
    if args.json:
        import json

        print(json.dumps({"host": name, "action": action, **answer}))
    elif action == "status":
        _show_status(name, answer)
    elif action == "remove":
        done = "nothing is deployed there" if answer.get("nothing") else "removed"
        print(f"{name}: {done}" + (f"; yours, and still there: {', '.join(answer['kept'])}" if answer["kept"] else ""))
    elif answer.get("dry_run"):
        print(f"{name}: {answer['to_send']:,} bytes would be sent")
    elif answer.get("unchanged"):
        print(f"{name}: {answer['release']} is this model and this software already")
    else:
        before = f", before it {answer['previous']}" if answer["previous"] else ""
        print(f"{name}: {answer['release']} is current{before}")
        _show_way_in(action, args)


def _show_way_in(action, args):
    if action != "deploy":
        return
    service = _service(args)
    if args.network:
        print(f"  port {service.port} there; its token: sudo cat /etc/edgert/token")
    elif service:
        port = service.port
        print(f"  there: http://127.0.0.1:{port}/; from here: the same behind ssh -L {port}:localhost:{port}")
    else:
        print(f"  there: {RUN_THERE} ...")


def _show_status(name, answer):
    print(f"{name}: {answer['current'] or 'nothing is deployed'}")
    for release in answer["releases"]:
        mark = "*" if release["name"] == answer["current"] else " "
        print(f"  {mark} {release['name']}  {release['model']}  edgert {release['edgert']}")
    for unit, state in answer["units"].items():
        print(f"  {unit}: {state.get('ActiveState')}, {state.get('NRestarts')} restarts. {state.get('StatusText', '')}")
    if answer["pending"]:
        print(f"  a switch to {answer['pending']['new']} is not confirmed; it will be undone")
    for model, why in answer["refused"].items():
        print(f"  failed here: {model[:8]} with settings {model[-8:]}: {why}")
