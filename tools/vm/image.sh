#!/bin/bash
# The disk of a machine like a Pi: 64-bit Arm Debian with systemd, sshd, Python and the packages that Raspberry Pi OS has
# from apt, and a user `pi` who may use sudo. tests/vm/virtual_board.py boots copies of it.
#
#   tools/vm/image.sh FOLDER
#
# FOLDER/rootfs.tar is made by mmdebstrap, with every package's own scripts run under qemu-user: minutes on an idle machine.
# One that is there already is used. The rest is made from it in seconds: disk.img, vmlinuz, initrd.img, a key that is the
# only way in, and an ssh_config that knows the machine by its host key.
set -euo pipefail
. "$(dirname "$(realpath "$0")")/../arm/lib.sh"
folder=$(realpath -m "${1:?usage: tools/vm/image.sh FOLDER}")
suite=$(suite_of 3.13) size=3G
packages=(systemd-sysv udev dbus kmod iproute2 openssh-server sudo python3 python3-venv python3-numpy python3-pil
  python3-psutil linux-image-arm64)

need qemu-system-arm qemu-system-aarch64 e2fsprogs mke2fs openssh-client ssh-keygen passwd useradd
((UID == 0)) || { echo "the files of a Debian tree belong to root: run this as root" >&2; exit 2; }

make_tree() { # rootfs.tar
  need mmdebstrap mmdebstrap
  [[ -e /proc/sys/fs/binfmt_misc/qemu-aarch64 ]] ||
    { echo "arm64 programs do not run here: run  apt-get install qemu-user-static" >&2; exit 2; }
  mmdebstrap --arch=arm64 --variant=minbase --include="$(IFS=,; echo "${packages[*]}")" \
    "$suite" "$folder/rootfs.part.tar" "$(debian_mirror)"
  mv "$folder/rootfs.part.tar" "$folder/rootfs.tar"
}

add_people() { # ROOT: a key of our own for root and for pi, who needs no password for sudo
  [[ -e $folder/key ]] || ssh-keygen -q -t ed25519 -N '' -C edgert-vm -f "$folder/key"
  useradd --prefix "$1" --uid 1000 --create-home --shell /bin/bash pi
  install -m 440 /dev/stdin "$1/etc/sudoers.d/pi" <<< 'pi ALL=(ALL) NOPASSWD: ALL'
  local home
  for home in root home/pi; do
    install -d -m 700 "$1/$home/.ssh"
    install -m 600 "$folder/key.pub" "$1/$home/.ssh/authorized_keys"
  done
  chown -R 1000:1000 "$1/home/pi"
}

set_up() { # ROOT: a name, a network, and no timer that would write in the middle of a measurement
  echo edgert-vm > "$1/etc/hostname"
  echo '127.0.0.1 localhost edgert-vm' > "$1/etc/hosts"
  echo '/dev/vda / ext4 defaults,noatime 0 1' > "$1/etc/fstab"
  printf '[Match]\nName=e*\n[Network]\nDHCP=yes\n' > "$1/etc/systemd/network/20-wired.network"
  local wants=$1/etc/systemd/system/multi-user.target.wants unit
  mkdir -p "$wants"
  ln -sf /lib/systemd/system/systemd-networkd.service "$wants/"
  for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer \
    e2scrub_reap.service; do
    ln -sf /dev/null "$1/etc/systemd/system/$unit"
  done
}

write_ssh_config() { # ROOT
  echo "edgert-vm $(cut -d' ' -f1,2 "$1/etc/ssh/ssh_host_ed25519_key.pub")" > "$folder/known_hosts"
  printf '%s\n' 'Host *' '  HostName 127.0.0.1' '  HostKeyAlias edgert-vm' '  StrictHostKeyChecking yes' \
    "  UserKnownHostsFile \"$folder/known_hosts\"" "  IdentityFile \"$folder/key\"" '  IdentitiesOnly yes' \
    '  ConnectTimeout 60' > "$folder/ssh_config"
}

mkdir -p "$folder"
[[ -e $folder/rootfs.tar ]] || make_tree
root=$(mktemp -d "$folder/root.XXXX")
trap 'rm -rf "$root"' EXIT
tar -C "$root" --numeric-owner -xf "$folder/rootfs.tar"
add_people "$root"
set_up "$root"
write_ssh_config "$root"
cp "$root"/boot/vmlinuz-* "$folder/vmlinuz"
cp "$root"/boot/initrd.img-* "$folder/initrd.img"
rm -f "$folder"/disk.*
mke2fs -q -t ext4 -L root -d "$root" "$folder/disk.part" "$size"
mv "$folder/disk.part" "$folder/disk.img"
