#!/usr/bin/env bash
# Installs the Debian packages of tools/debian-packages.txt: those for the build and the demo, with `test` or `fuzz` also
# those for the tests or the fuzz targets. Asks for root only when something is missing. A Node.js of 18 or newer from
# elsewhere is kept.
#
# usage: install_deps.sh [build|test|fuzz]
set -euo pipefail
cd "$(dirname "$0")"
purpose=${1:-build}

have_node() { command -v npm >/dev/null && [ "$(node -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0)" -ge 18 ]; }
installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

missing=()
while read -r package needed_by; do
  case "$package" in ''|'#'*) continue ;; esac
  if [ -n "$needed_by" ] && [ "$needed_by" != "$purpose" ]; then continue; fi
  case "$package" in nodejs|npm) if have_node; then continue; fi ;; esac
  installed "$package" || missing+=("$package")
done < debian-packages.txt
[ ${#missing[@]} -gt 0 ] || exit 0

root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "install_deps: run as root or install sudo; missing: ${missing[*]}" >&2; exit 1; }
  root=(sudo)
fi
echo "Installing ${#missing[@]} Debian packages: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
"${root[@]}" apt-get update -q
"${root[@]}" apt-get install -y -q --no-install-recommends "${missing[@]}"
