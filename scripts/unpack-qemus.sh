#!/usr/bin/env bash
# Unpacks the QEMUs of Debian's suites side by side, each with its own libraries: DIR/VERSION/bin/qemu-system-x86_64;
# and a small Linux for a guest: DIR/linux/vmlinuz and DIR/linux/busybox.
# Nothing is installed, so any number of versions is there at once. Needs apt and dpkg-deb, but neither root nor a
# certain release of Debian. The packages come from the mirror that apt already uses, and apt checks their signatures.
# Usage: unpack-qemus.sh DIR [VERSION…]; without versions, all. What is there already is left alone. The Linux has the
# version `linux`.
set -euo pipefail

# A version, the suite that has it, and the suite that it builds upon.
readonly qemus='5.2 bullseye
7.2 bookworm
10.0 trixie
11.1 trixie-backports trixie'
readonly linux_suite=bookworm
readonly keyring=/usr/share/keyrings/debian-archive-keyring.gpg
readonly package=qemu-system-x86 program=qemu-system-x86_64

fail() {
  echo "unpack-qemus: $1" >&2
  exit 1
}

# Runs apt with a root of its own ($1), that knows of no installed package: so it brings all that a package depends on.
# A mirror frozen at a past day serves release files whose date has passed; that is no reason to refuse them.
private_apt() {
  local root=$1
  shift
  apt-get -qq -o "Dir::State=$root" -o "Dir::State::status=$root/status" -o "Dir::Cache=$root" \
    -o "Dir::Etc::sourcelist=$root/sources.list" -o "Dir::Etc::sourceparts=/dev/null" \
    -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null \
    -o Acquire::Check-Valid-Until=false -o Acquire::Retries=3 -o Acquire::Languages=none \
    -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false \
    -o APT::Architecture=amd64 -o APT::Sandbox::User="$(id -un)" \
    -o APT::Update::Post-Invoke-Success= -o APT::Update::Post-Invoke= "$@"
}

# Prints the libraries' folders of an unpacked tree, as ld.so takes them.
library_path() {
  local tree=$1 folder path=''
  for folder in lib/x86_64-linux-gnu usr/lib/x86_64-linux-gnu; do
    for folder in "$tree/$folder" "$tree/$folder"/pulseaudio "$tree/$folder"/blas "$tree/$folder"/lapack; do
      if [ -d "$folder" ]; then path=$path:$folder; fi
    done
  done
  echo "${path#:}"
}

# Writes the program that runs the binary with the loader, the libraries, the modules and the firmware of its tree. It
# replaces itself, so that QEMU has the process number, the descriptors and the signals that its starter means. QEMU
# looks into the folders of -L in their order: a caller's own come first.
write_wrapper() {
  local tree=$1 loader
  for loader in "$tree"/{lib64,usr/lib64}/ld-linux-x86-64.so.2; do
    if [ -e "$loader" ]; then break; fi
  done
  mkdir -p "$2"
  cat >"$2/$program" <<WRAPPER
#!/bin/sh
export QEMU_MODULE_DIR='$tree/usr/lib/x86_64-linux-gnu/qemu'
exec '$loader' --library-path '$(library_path "$tree")' '$tree/usr/bin/$program' "\$@" \\
  -L '$tree/usr/share/qemu' -L '$tree/usr/share/seabios' -L '$tree/usr/lib/ipxe/qemu'
WRAPPER
  chmod +x "$2/$program"
}

# Links of Debian's packages may be absolute; inside the tree they have to stay inside.
keep_links_inside() {
  local link to
  while IFS= read -r link; do
    to=$(readlink "$link")
    if [ -e "$1$to" ]; then ln -sfn "$1$to" "$link"; fi
  done < <(find "$1" -lname '/*')
}

unpack() {
  local directory=$1 mirror=$2 version=$3 suite=$4 base=${5:-}
  local root=$directory/.apt-$version tree=$directory/$version/root archive
  rm -rf "$root" "${directory:?}/$version"
  mkdir -p "$root/lists/partial" "$root/archives/partial" "$tree"
  : >"$root/status"
  for suite in $base $suite; do echo "deb [signed-by=$keyring] $mirror $suite main"; done >"$root/sources.list"
  private_apt "$root" update
  private_apt "$root" install --yes --download-only --no-install-recommends -t "$suite" "$package" >/dev/null
  for archive in "$root"/archives/*.deb; do dpkg-deb --extract "$archive" "$tree"; done
  # Nobody needs these.
  rm -rf "$tree"/usr/share/{doc,man,locale,i18n,icons} "$root"
  keep_links_inside "$tree"
  # The folder's name means complete.
  write_wrapper "$tree" "$directory/$version/bin.new"
  local found
  found=$("$directory/$version/bin.new/$program" --version | sed -nE '1s/.*version ([0-9]+\.[0-9]+).*/\1/p')
  [ "$found" = "$version" ] || fail "$suite has QEMU ${found:-none}, not $version"
  mv "$directory/$version/bin.new" "$directory/$version/bin"
}

# The package of the kernel that is named for none depends on one that has its version in its name.
unpack_linux() {
  local directory=$1 mirror=$2 root=$1/.apt-linux kernel archive
  rm -rf "$root" "$directory/linux"
  mkdir -p "$root/lists/partial" "$root/archives/partial" "$root/linux"
  : >"$root/status"
  echo "deb [signed-by=$keyring] $mirror $linux_suite main" >"$root/sources.list"
  private_apt "$root" update
  kernel=$(private_apt "$root" install --yes --print-uris --no-install-recommends linux-image-cloud-amd64 |
    sed -nE 's/.* (linux-image-[0-9][^_]*)_.*/\1/p')
  (cd "$root/archives" && private_apt "$root" download "$kernel" busybox-static)
  for archive in "$root"/archives/*.deb; do dpkg-deb --extract "$archive" "$root/tree"; done
  cp "$root"/tree/boot/vmlinuz-* "$root/linux/vmlinuz"
  cp "$root/tree/bin/busybox" "$root/linux/busybox"
  # The folder's name means complete.
  mv "$root/linux" "$directory/linux"
  rm -rf "$root"
}

main() {
  [ $# -ge 1 ] || fail 'name the folder that the QEMUs go to'
  local directory mirror version suite base here
  here=$(dirname "$0")
  mkdir -p "$1"
  directory=$(cd "$1" && pwd)
  shift
  mirror=$("$here/debian-mirror.sh")
  while read -r version suite base; do
    if [ $# -gt 0 ] && [[ " $* " != *" $version "* ]]; then continue; fi
    if [ ! -x "$directory/$version/bin/$program" ]; then unpack "$directory" "$mirror" "$version" "$suite" "$base"; fi
    "$directory/$version/bin/$program" --version | head -n 1
  done <<<"$qemus"
  if [ $# -gt 0 ] && [[ " $* " != *" linux "* ]]; then return; fi
  if [ ! -e "$directory/linux" ]; then unpack_linux "$directory" "$mirror"; fi
}

main "$@"
