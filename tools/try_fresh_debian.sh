#!/usr/bin/env bash
# Runs make targets of the last commit in a fresh Debian 12 root, which holds nothing but git, make and certificates,
# and prints how long each took. Needs root and debootstrap; about 10 GB in FOLDER, which is kept to look into.
#
# usage: try_fresh_debian.sh FOLDER [TARGET...]    (demo and test unless given)
set -euo pipefail
[ $# -ge 1 ] || { sed -n 's/^# usage: /usage: /p' "$0"; exit 2; }
root=$1
shift
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(demo test)
source=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
[ -e "$root/etc/debian_version" ] ||
  debootstrap --variant=minbase --include=ca-certificates,git,make bookworm "$root" http://deb.debian.org/debian > "$root.log"

mount --bind /dev "$root/dev"
mount -t proc proc "$root/proc"
trap 'umount "$root/proc" "$root/dev"' EXIT
cp /etc/resolv.conf /etc/hosts "$root/etc/"
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/" # a proxy of this network may sign with its own
rm -rf "$root/root/starling"
git clone -q "$source" "$root/root/starling"
for target in "${targets[@]}"; do
  start=$SECONDS status=0
  chroot "$root" env -i HOME=/root LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    make -C /root/starling "$target" > "$root/root/make-$target.log" 2>&1 || status=$?
  echo "make $target: exit $status after $(((SECONDS - start) / 60)) min $(((SECONDS - start) % 60)) s, log $root/root/make-$target.log"
done
