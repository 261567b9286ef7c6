#!/usr/bin/env bash
# Installs the programs that the tests against a real QEMU need: qemu-system-x86_64 and qemu-system-aarch64 >= 9, swtpm,
# gdb and, with --bench, fio.
# QEMU comes from the backports suite, on the mirror that apt already uses, where the Debian release's own is older.
# Needs root and apt. Exits 0 at once when every program is on the PATH, and new enough.
set -euo pipefail

readonly needed_major=9
readonly packages=(qemu-system-x86 qemu-system-arm)

# Prints the major version of the older one of the two.
qemu_major() {
  local binary
  for binary in qemu-system-x86_64 qemu-system-aarch64; do
    command -v "$binary" >/dev/null 2>&1 || { echo 0; return; }
    "$binary" --version | sed -nE '1s/.*version ([0-9]+)\..*/\1/p'
  done | sort -n | head -n 1
}

# Prints the first Debian mirror of the existing apt sources, in either of apt's two source formats.
# Security archives carry no backports suite, so they do not count.
debian_mirror() {
  { cat /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list 2>/dev/null || true; } |
    sed -nE -e 's/^URIs:[[:space:]]*//p' -e 's/^deb[[:space:]]+(\[[^]]*\][[:space:]]+)?([^[:space:]]+).*/\2/p' |
    tr ' ' '\n' | grep -E '/debian/?$' | head -n 1
}

install_from_backports() {
  local codename mirror
  codename=$(. /etc/os-release && echo "${VERSION_CODENAME:?}")
  mirror=$(debian_mirror)
  [ -n "$mirror" ] || { echo "install-qemu: no Debian mirror in the apt sources" >&2; exit 1; }
  local list=/etc/apt/sources.list.d/mapped-ram-backports.list
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $codename-backports main" >"$list"
  apt-get update -q
  # A mirror frozen at a past day serves release files whose date has passed; that is no reason to refuse them.
  apt-get install -qy -o Acquire::Check-Valid-Until=false --no-install-recommends \
    -t "$codename-backports" "${packages[@]}"
}

# Installs a package that has the name of its program.
install_missing() {
  if command -v "$1" >/dev/null 2>&1; then return; fi
  apt-get update -q
  apt-get install -qy --no-install-recommends "$1"
}

main() {
  export DEBIAN_FRONTEND=noninteractive
  if [ "$(qemu_major)" -lt "$needed_major" ]; then
    apt-get update -q
    local candidate
    candidate=$(apt-cache policy qemu-system-x86 | sed -nE 's/^ *Candidate: ([0-9]+:)?([0-9]+)\..*/\2/p')
    if [ "${candidate:-0}" -ge "$needed_major" ]; then
      apt-get install -qy --no-install-recommends "${packages[@]}"
    else
      install_from_backports
    fi
  fi
  install_missing swtpm
  install_missing gdb
  if [ "${1:-}" = "--bench" ]; then install_missing fio; fi
  local major
  major=$(qemu_major)
  [ "$major" -ge "$needed_major" ] || { echo "install-qemu: found QEMU $major, need $needed_major or newer" >&2; exit 1; }
  qemu-system-x86_64 --version | head -n 1
}

main "$@"
