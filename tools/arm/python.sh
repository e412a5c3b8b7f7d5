#!/bin/bash
# Python on an emulated Pi; PYTHONPATH is the guest's, the aarch64 wheels of setup.sh are appended.
#
#   tools/arm/python.sh cortex-a72 3.11 [ARGUMENT...]
set -euo pipefail
. "$(dirname "$(realpath "$0")")/lib.sh"
cpu=$1 version=$2
shift 2
core=$cache/core-$version-$cpu
[[ -d $core ]] || { echo "$core is missing: run tools/arm/setup.sh $version" >&2; exit 2; }
export PYTHONPATH=${PYTHONPATH:+$PYTHONPATH:}$cache/site-$version
exec "$core/python" "$@"
