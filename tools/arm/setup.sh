#!/bin/bash
# What an emulated Pi needs, once per Python version: an arm64 Debian tree with Python and its headers, and the aarch64
# wheels that the tests import. Packages are unpacked, nothing in them is run; no root, chroot or binfmt_misc.
#
#   tools/arm/setup.sh 3.11 3.13
#   tools/arm/setup.sh --peers 3.11      also the runtimes that benchmarks compare with
set -euo pipefail
. "$(dirname "$(realpath "$0")")/lib.sh"
need mmdebstrap mmdebstrap qemu-user qemu-aarch64

requirements=(numpy pillow psutil flatbuffers pytest hypothesis)
peers=(ai-edge-litert)

make_root() {
  local version=$1 root=$cache/root-$1
  [[ ! -d $root ]] || return 0
  mkdir -p "$cache"
  rm -rf "$root.part"
  mmdebstrap -q --variant=extract --arch=arm64 --include="python3,libpython$version-dev,libstdc++6,libgomp1" \
    "$(suite_of "$version")" "$root.part" "$(debian_mirror)"
  [[ -e $root.part/lib ]] || ln -s usr/lib "$root.part/lib" # the loader's fixed path; trixie's packages lack it
  # Headers by themselves: the tree's newer libc headers must not reach the cross compiler.
  (cd "$root.part/usr/include" && mkdir "$root.part/headers" &&
    cp -a --parents -t "$root.part/headers" "python$version" "aarch64-linux-gnu/python$version")
  mv "$root.part" "$root"
}

make_site() { # VERSION FOLDER REQUIREMENT ...
  local version=$1 site=$2 tag platforms=()
  shift 2
  [[ $(cat "$site/requirements.txt" 2> /dev/null) != "$*" ]] || return 0
  for tag in manylinux2014 manylinux_2_{17,24,26,27,28,31,34,35,36}; do
    platforms+=(--platform "${tag}_aarch64")
  done
  rm -rf "$site" "$site.part"
  PIP_ROOT_USER_ACTION=ignore "${PYTHON:-python3}" -m pip install -q --disable-pip-version-check --no-compile --only-binary=:all: \
    --implementation cp --python-version "$version" --abi "cp${version/./}" --abi abi3 --abi none "${platforms[@]}" \
    --target "$site.part" "$@"
  echo "$*" > "$site.part/requirements.txt"
  mv "$site.part" "$site"
}

# A folder per core: qemu takes a guest's absolute path from its -L folder first, so each has its own /proc/cpuinfo
# (Debian 12's qemu would show the host's) and links to the tree. Its `python` is what sys.executable says there.
make_core() {
  local version=$1 cpu=$2 dir=$cache/core-$1-$2 part features='fp asimd evtstrm crc32 cpuid' entry n
  case $cpu in
    cortex-a53) part=0xd03 ;;
    cortex-a72) part=0xd08 ;;
    cortex-a76) part=0xd0b features+=' aes pmull sha1 sha2 atomics fphp asimdhp asimdrdm lrcpc asimddp' ;;
  esac
  mkdir -p "$dir/proc"
  for entry in usr lib bin; do ln -sfn "$cache/root-$version/$entry" "$dir/$entry"; done
  for n in 0 1 2 3; do
    printf 'processor\t: %d\nBogoMIPS\t: 108.00\nFeatures\t: %s\n' "$n" "$features"
    printf 'CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: %s\nCPU revision\t: 3\n\n' "$part"
  done > "$dir/proc/cpuinfo"
  printf '#!/bin/sh\ncore="%s"\nGUEST_PYTHON="$core/python" QEMU_CPU=%s exec qemu-aarch64 -L "$core" "$core/usr/bin/python%s" "$@"\n' \
    "$dir" "$cpu" "$version" > "$dir/python"
  chmod +x "$dir/python"
  printf 'import os\nimport sys\n\nsys.executable = os.environ["GUEST_PYTHON"]\n' > "$cache/site-$version/sitecustomize.py"
}

with_peers=
[[ ${1:-} != --peers ]] || { with_peers=1; shift; }
for version; do
  make_root "$version"
  make_site "$version" "$cache/site-$version" "${requirements[@]}"
  [[ -z $with_peers ]] || make_site "$version" "$cache/peers-$version" "${peers[@]}"
  for cpu in "${cpus[@]}"; do make_core "$version" "$cpu"; done
done
