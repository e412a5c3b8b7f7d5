#!/bin/bash
# Cross-build the aarch64 wheel for one Python version; prints its path.
#
#   PYTHON=.venv/bin/python tools/arm/wheel.sh 3.13 dist
#
# PYTHON (with setuptools, Cython and wheel) may have any version: the generated C and the headers decide, not the one
# that runs the build. The name carries the oldest glibc that the modules' symbols allow, so pip takes it wherever it runs.
set -euo pipefail
. "$(dirname "$(realpath "$0")")/lib.sh"
need gcc-aarch64-linux-gnu aarch64-linux-gnu-gcc binutils-aarch64-linux-gnu aarch64-linux-gnu-readelf
version=$1 out=$(realpath -m "$2")
python=$(realpath -s "$(command -v "${PYTHON:-python3}")")
headers=$cache/root-$version/headers cc=aarch64-linux-gnu-gcc cp=cp${version/./}
[[ -d $headers ]] || { echo "$headers is missing: run tools/arm/setup.sh $version" >&2; exit 2; }

cd "$top"
work=build/arm/$version
log=$work/build.log
rm -rf "$work/out" "$work"/build/lib* # a module removed from the tree must not live on in a wheel
mkdir -p "$work/out" "$out"
env EDGERT_REQUIRE_NATIVE=1 CC=$cc LDSHARED="$cc -shared" CFLAGS="-I$headers/python$version -I$headers" \
  _PYTHON_HOST_PLATFORM=linux-aarch64 SETUPTOOLS_EXT_SUFFIX=".cpython-${version/./}-aarch64-linux-gnu.so" \
  "$python" setup.py egg_info -e "$work" build -b "$work/build" bdist_wheel -b "$work/bdist" -d "$work/out" \
  > "$log" 2>&1 || { cat "$log" >&2; exit 1; }

modules=("$work"/build/lib*/edgert/kernels/native/*.so)
glibc=$(aarch64-linux-gnu-readelf -V "${modules[@]}" | grep -o 'GLIBC_2\.[0-9]*' | cut -d. -f2 | sort -nu | tail -n 1)
((glibc >= 17)) || glibc=17
"$python" -m wheel tags --remove --python-tag "$cp" --abi-tag "$cp" --platform-tag "manylinux_2_${glibc}_aarch64" \
  "$work"/out/*.whl > /dev/null
mv "$work"/out/*.whl "$out/"
ls "$out"/edgert-*-"$cp-$cp-manylinux_2_${glibc}_aarch64.whl"
