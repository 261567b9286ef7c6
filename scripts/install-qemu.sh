#!/usr/bin/env bash
# Installs the programs that the tests against a real QEMU need: qemu-system-… >= 9 of several architectures, swtpm and
# gdb; those that count system calls and instructions: strace and valgrind; those that make filesystems whose files share
# blocks: mkfs.xfs and mkfs.btrfs; and, with --bench, fio.
# QEMU comes from the backports suite, on the mirror that apt already uses, where the Debian release's own is older.
# Needs root and apt. Exits 0 at once when every program is on the PATH, and new enough.
#
# With --all DIR, nothing is installed: the QEMUs of Debian's suites are unpacked side by side into DIR, for the tests of
# versions, and a small Linux for a guest (scripts/unpack-qemus.sh). That needs no root.
set -euo pipefail

here=$(dirname "$0")
readonly here needed_major=9
readonly targets=(x86_64 aarch64 ppc64 riscv64 s390x m68k)

# Prints the package that has the QEMU of a target. The release says whether riscv64 and s390x are packages of their own.
package_of() {
  case $1 in
  x86_64) echo qemu-system-x86 ;;
  aarch64) echo qemu-system-arm ;;
  ppc64) echo qemu-system-ppc ;;
  riscv64) only_if_there qemu-system-riscv ;;
  s390x) only_if_there qemu-system-s390x ;;
  m68k) echo qemu-system-misc ;;
  esac
}

# Prints a package that exists here, or the one that has its programs in older releases.
only_if_there() {
  if apt-cache show "$1" >/dev/null 2>&1; then echo "$1"; else echo qemu-system-misc; fi
}

packages() {
  local target
  for target in "${targets[@]}"; do package_of "$target"; done | sort -u
}

# Prints the major version of the oldest one; 0 when one is missing.
qemu_major() {
  local target binary
  for target in "${targets[@]}"; do
    binary=qemu-system-$target
    command -v "$binary" >/dev/null 2>&1 || { echo 0; return; }
    "$binary" --version | sed -nE '1s/.*version ([0-9]+)\..*/\1/p'
  done | sort -n | head -n 1
}

install_from_backports() {
  local codename mirror
  codename=$(. /etc/os-release && echo "${VERSION_CODENAME:?}")
  mirror=$("$here/debian-mirror.sh")
  local list=/etc/apt/sources.list.d/mapped-ram-backports.list
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $codename-backports main" >"$list"
  apt-get update -q
  # A mirror frozen at a past day serves release files whose date has passed; that is no reason to refuse them.
  apt-get install -qy -o Acquire::Check-Valid-Until=false --no-install-recommends \
    -t "$codename-backports" $(packages)
}

# Installs the package of a program, by default the one that has the program's name.
install_missing() {
  if command -v "$1" >/dev/null 2>&1; then return; fi
  apt-get update -q
  apt-get install -qy --no-install-recommends "${2:-$1}"
}

main() {
  if [ "${1:-}" = --all ]; then
    shift
    exec "$here/unpack-qemus.sh" "$@"
  fi
  export DEBIAN_FRONTEND=noninteractive
  if [ "$(qemu_major)" -lt "$needed_major" ]; then
    apt-get update -q
    local candidate
    candidate=$(apt-cache policy qemu-system-x86 | sed -nE 's/^ *Candidate: ([0-9]+:)?([0-9]+)\..*/\2/p')
    if [ "${candidate:-0}" -ge "$needed_major" ]; then
      apt-get install -qy --no-install-recommends $(packages)
    else
      install_from_backports
    fi
  fi
  install_missing swtpm
  install_missing gdb
  install_missing strace
  install_missing valgrind
  install_missing mkfs.xfs xfsprogs
  install_missing mkfs.btrfs btrfs-progs
  if [ "${1:-}" = "--bench" ]; then install_missing fio; fi
  local major
  major=$(qemu_major)
  [ "$major" -ge "$needed_major" ] || { echo "install-qemu: found QEMU $major, need $needed_major or newer" >&2; exit 1; }
  qemu-system-x86_64 --version | head -n 1
}

main "$@"
