#!/bin/sh
# edgert and a model as a service of this machine, for people who are on the Raspberry Pi already. It runs
# `edgert deploy --here` out of the wheel, so nothing needs to be installed before: the same self-test, the same way back.
set -eu

usage() {
  cat << 'USAGE'
usage: install.sh MODEL [--camera [SOURCE] | --prompt] [--wheels DIR] [OPTION ...]

  install.sh detector.bin --camera              the Pi's camera, page at http://127.0.0.1:8080/
  install.sh detector.bin --camera /dev/video0  a USB camera
  install.sh shakespeare.bin --prompt           text for prompts
  install.sh model.bin                          no service: /opt/edgert/current/venv/bin/edgert run ...

  --wheels DIR   folder with edgert's wheel for this Python (dist/ beside deploy/; `make wheels` makes it)
  OPTION         as `edgert deploy` takes them: --network, --serve-options '--fps 10', --dry-run, --keep-journal ...

Called again with the same model it changes nothing; with another one it replaces the old, or returns to it.
uninstall.sh takes everything away.
USAGE
}

fail() {
  echo "install.sh: $1" >&2
  exit 1
}

here=$(cd "$(dirname "$0")" && pwd)
wheels=$here/../dist
previous=
for word; do
  [ "$previous" != --wheels ] || wheels=$word
  case $word in
    -h | --help) usage; exit 0 ;;
    --wheels=*) wheels=${word#*=} ;;
  esac
  previous=$word
done
[ $# -ge 1 ] || { usage >&2; exit 2; }

command -v python3 > /dev/null || fail 'there is no python3: sudo apt install python3 python3-venv'
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  fail "$(python3 --version) is too old: 3.11 is needed (Raspberry Pi OS Bookworm or newer)"
tag=$(python3 -c 'import sys; print("cp%d%d" % sys.version_info[:2])')
wheel=
for file in "$wheels"/edgert-*-"$tag"-"$tag"-*_"$(uname -m)".whl "$wheels"/edgert-*-py3-none-any.whl; do
  [ ! -e "$file" ] || wheel=$file
done
[ -n "$wheel" ] || fail "$wheels has no edgert wheel for $tag on $(uname -m): \`make wheels\` in edgert's sources makes it"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' HUP INT TERM # dash leaves EXIT out when a signal ends it
python3 -m zipfile -e "$wheel" "$work"
# -P: not the sources, if this is called in their folder
PYTHONPATH=$work PYTHONDONTWRITEBYTECODE=1 python3 -P -m edgert deploy --here --wheels "$wheels" "$@"
