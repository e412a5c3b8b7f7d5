# Sourced by the scripts here: where things lie, and what a machine must have.

top=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../..")
cache=$(realpath -m "${EDGERT_ARM_CACHE:-$top/.cache/arm}") # downloads: Python roots, wheels of others

cpus=(cortex-a53 cortex-a72 cortex-a76)

suite_of() { # the Raspberry Pi OS release (a Debian suite) that has this Python
  case $1 in
    3.11) echo bookworm ;;
    3.13) echo trixie ;;
    *) echo "no Raspberry Pi OS has Python $1" >&2; return 2 ;;
  esac
}

need() { # PACKAGE COMMAND ...
  local missing=()
  while (($#)); do
    command -v "$2" > /dev/null || missing+=("$1")
    shift 2
  done
  ((${#missing[@]} == 0)) || { echo "missing: run  apt-get install ${missing[*]}" >&2; exit 2; }
}

debian_mirror() { # the archive this machine's apt uses, so that its proxy or mirror serves us too
  local mirror
  # shellcheck disable=SC2016
  mirror=$(apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(SUITE)' 'Created-By: Packages' 2> /dev/null |
    awk '$2 == "Debian" && $3 !~ /-/ { print $1; exit }')
  echo "${mirror:-http://deb.debian.org/debian}"
}
