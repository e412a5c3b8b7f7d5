#!/bin/sh
# Takes edgert off this machine: services, releases, environments, its journal setting. What you wrote into /etc/edgert
# stays, unless --purge is given.
set -eu

case ${1:-} in
  -h | --help) echo 'usage: uninstall.sh [--purge]     --purge: /etc/edgert too'; exit 0 ;;
  '' | --purge) ;;
  *) echo "uninstall.sh: $1 is no option (--help)" >&2; exit 2 ;;
esac
[ "$(id -u)" = 0 ] || exec sudo sh "$0" "$@"

if [ -e /opt/edgert/edgert-board.pyz ]; then
  said=$(python3 /opt/edgert/edgert-board.pyz remove) || { echo "uninstall.sh: $said" >&2; exit 1; }
  echo 'edgert is removed'
elif [ -e /opt/edgert ]; then # files of an installation that was cut off before its first release
  rm -rf /opt/edgert
  echo 'edgert is removed'
else
  echo 'edgert is not installed here'
fi
if [ "${1:-}" = --purge ]; then
  rm -rf /etc/edgert
elif [ -e /etc/edgert ]; then
  echo "yours, and still there: $(find /etc/edgert -type f)"
fi
