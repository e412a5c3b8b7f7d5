#!/bin/bash
# What `edgert deploy` takes along to the machine of image.sh, which reaches no index: edgert's aarch64 wheel out of
# build/arm/dist, and what the extra `serve` needs beyond the packages that the image has from apt.
#
#   PYTHON=.venv/bin/python tools/vm/wheels.sh build/vm/wheels
set -euo pipefail
. "$(dirname "$(realpath "$0")")/../arm/lib.sh"
python=${PYTHON:-python3} out=$(realpath -m "${1:?usage: tools/vm/wheels.sh FOLDER}")
mapfile -t serve < <("$python" - "$top/pyproject.toml" << 'END'
import sys, tomllib
with open(sys.argv[1], "rb") as file:
    print(*tomllib.load(file)["project"]["optional-dependencies"]["serve"], sep="\n")
END
)
mkdir -p "$out"
if [[ $(cat "$out/serve.txt" 2> /dev/null) != "${serve[*]}" ]]; then
  rm -f "$out"/*.whl
  "$python" -m pip download -q --disable-pip-version-check --only-binary=:all: --implementation cp --python-version 3.13 \
    --abi cp313 --abi abi3 --abi none --platform manylinux_2_28_aarch64 --platform manylinux2014_aarch64 -d "$out" "${serve[@]}"
  echo "${serve[*]}" > "$out/serve.txt"
fi
rm -f "$out"/edgert-*
cp "$top"/build/arm/dist/edgert-*-cp313-*.whl "$out/"
