#!/bin/bash
# What the emulated Pis run, below build/arm: the wheels of build/arm/dist unpacked, and a copy of the tests far from
# edgert/, so that they import what is in the wheel.
set -euo pipefail
. "$(dirname "$(realpath "$0")")/lib.sh"
stage=$top/build/arm
for wheel in "$stage"/dist/*.whl; do
  site=$stage/site-$(sed -E 's/.*-cp3([0-9]+)-.*/3.\1/' <<< "$wheel")
  [[ $site -nt $wheel ]] || { rm -rf "$site" && "${PYTHON:-python3}" -m zipfile -e "$wheel" "$site"; }
done
rm -rf "$stage/tree"
mkdir "$stage/tree"
cp -a "$top/tests" "$top/pyproject.toml" "$stage/tree/"
ln -s "$top/models" "$stage/tree/models"
