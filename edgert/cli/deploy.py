"""`edgert deploy`: put edgert and a model on a board over ssh, prove it there, and go back."""

import shlex
import sys

from edgert.cli.options import add_json
from edgert.errors import InputError

EXAMPLE = """
edgert deploy pi@raspberrypi.local model.bin
edgert deploy --host-file boards.txt model.bin --wheels wheels/
edgert deploy status pi@raspberrypi.local
edgert deploy rollback pi@raspberrypi.local
"""

ACTIONS = ("status", "rollback", "remove")
RUN_THERE = "/opt/edgert/current/venv/bin/edgert run /opt/edgert/current/model.bin"


def configure(parser):
    parser.add_argument(
        "words",
        nargs="+",
        metavar="[status|rollback|remove] HOST [MODEL]",
        help="a host as ssh knows it, and the model file to put there",
    )
    parser.add_argument(
        "--wheels", default="dist", metavar="DIR", help="edgert's wheel, and others to take along (dist)"
    )
    parser.add_argument("--host-file", metavar="FILE", help="one host a line; the first is the canary, a failure stops")
    parser.add_argument("--insist", action="store_true", help="try a model again that failed there before")
    parser.add_argument("--dry-run", action="store_true", help="look and say what would be sent; change nothing")
    parser.add_argument("--ssh", default="ssh", metavar="COMMAND", help="ssh and its options, as in 'ssh -p 2222'")
    add_json(parser)


def run(args):
    action = args.words.pop(0) if args.words[0] in ACTIONS else "deploy"
    model = args.words.pop() if action == "deploy" else None
    hosts = _hosts(args)
    for number, name in enumerate(hosts):
        if len(hosts) > 1 and not args.json:
            print(f"{name}{' (canary)' if not number else ''}")
        _one(action, name, model, args)
    return 0


def _hosts(args):
    names = list(args.words)
    if args.host_file:
        with open(args.host_file, encoding="utf-8") as file:
            lines = [line.partition("#")[0].strip() for line in file]
        names += [line for line in lines if line]
    if not names:
        raise InputError("no host is named: edgert deploy pi@raspberrypi.local model.bin")
    return names


def _one(action, name, model, args):
    from edgert.deploy.host import Host
    from edgert.deploy.steps import deploy

    with Host(name, tuple(shlex.split(args.ssh))) as host:
        if action == "deploy":
            answer = deploy(host, model, wheel_folder=args.wheels, say=_say, insist=args.insist, dry_run=args.dry_run)
        else:
            host.send_program()
            answer = host.call(action)
    _show(action, name, answer, args.json)


def _say(step, text):
    print(f"  {step:10} {text}", file=sys.stderr, flush=True)


def _show(action, name, answer, as_json):
    if as_json:
        import json

        print(json.dumps({"host": name, "action": action, **answer}))
    elif action == "status":
        _show_status(name, answer)
    elif action == "remove":
        print(f"{name}: removed")
    elif answer.get("dry_run"):
        print(f"{name}: {answer['to_send']:,} bytes would be sent")
    elif answer.get("unchanged"):
        print(f"{name}: {answer['release']} is this model and this software already")
    else:
        print(
            f"{name}: {answer['release']} is current"
            + (f", before it {answer['previous']}" if answer["previous"] else "")
        )
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
        print(f"  refused {model[:8]}: {why}")
