#!/bin/bash
# A throw-away Debian with systemd, sshd and a user `pi` who may become root, in a container: for `make test-host`.
#
#   tools/nspawn.sh make FOLDER [SUITE]    its files and an ssh key (half a minute); bookworm, as Raspberry Pi OS, unless named
#   tools/nspawn.sh start FOLDER [PORT]    boots it, prints what EDGERT_TEST_HOST is to be; nothing it writes stays
#   tools/nspawn.sh stop FOLDER
#
#   EDGERT_TEST_HOST="$(tools/nspawn.sh start FOLDER)" make test-host
#
# As root, with the packages mmdebstrap and systemd-container. The container shares this machine's network; its sshd listens
# on loopback alone.
set -euo pipefail

packages=systemd-sysv,dbus,openssh-server,sudo,python3,python3-venv,python3-apt,python3-numpy,python3-pil,python3-psutil
packages+=,iproute2,ca-certificates
verb=${1:?make, start or stop} dir=$(realpath -m "${2:?folder}")
root=$dir/root key=$dir/key

build() {
  mkdir -p "$dir"
  mmdebstrap -q --variant=minbase --include="$packages" "${1:-bookworm}" "$root"
  ssh-keygen -q -t ed25519 -N '' -f "$key"
  chroot "$root" useradd -m -s /bin/bash pi
  install -d -o 1000 -g 1000 -m 700 "$root/home/pi/.ssh"
  install -o 1000 -g 1000 -m 600 "$key.pub" "$root/home/pi/.ssh/authorized_keys"
  echo 'pi ALL=(ALL) NOPASSWD: ALL' > "$root/etc/sudoers.d/pi"
  echo "127.0.0.1 localhost $(uname -n)" > "$root/etc/hosts"
  ln -sf /dev/null "$root/etc/systemd/system/console-getty.service"
}

start() {
  local port=${1:-2223}
  printf 'Port %s\nListenAddress 127.0.0.1\n' "$port" > "$root/etc/ssh/sshd_config.d/local.conf"
  cp -L /etc/resolv.conf "$root/etc/resolv.conf"
  setsid systemd-nspawn -q -b -D "$root" --register=no --keep-unit --volatile=overlay < /dev/null > "$dir/log" 2>&1 &
  echo $! > "$dir/pid"
  local address=(-o "Port=$port" -i "$key" -o "UserKnownHostsFile=$dir/known_hosts" -o StrictHostKeyChecking=accept-new pi@127.0.0.1)
  SECONDS=0
  until ssh -o LogLevel=ERROR "${address[@]}" true 2> /dev/null; do
    kill -0 "$(cat "$dir/pid")" || { echo "it ended: see $dir/log" >&2; exit 1; }
    ((SECONDS < 60)) || { echo "no ssh after $SECONDS s: see $dir/log" >&2; exit 1; }
    sleep 0.3
  done
  ssh "${address[@]}" systemctl is-system-running --wait > /dev/null || true
  echo "${address[*]}"
}

stop() {
  kill "$(cat "$dir/pid")" # an orderly shutdown
  tail --pid="$(cat "$dir/pid")" -f /dev/null
  rm -f "$dir/pid"
}

case $verb in
  make) build "${@:3}" ;;
  start) start "${@:3}" ;;
  stop) stop ;;
  *) echo "nspawn.sh: make, start or stop, not $verb" >&2; exit 2 ;;
esac
