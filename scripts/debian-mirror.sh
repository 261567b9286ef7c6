#!/usr/bin/env bash
# Prints the first Debian mirror of the existing apt sources, in either of apt's two source formats.
# Security archives carry no other suites, so they do not count.
set -euo pipefail

mirror=$({ cat /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list 2>/dev/null || true; } |
  sed -nE -e 's/^URIs:[[:space:]]*//p' -e 's/^deb[[:space:]]+(\[[^]]*\][[:space:]]+)?([^[:space:]]+).*/\2/p' |
  tr ' ' '\n' | grep -E '/debian/?$' | head -n 1) || true
[ -n "$mirror" ] || { echo 'no Debian mirror in the apt sources' >&2; exit 1; }
echo "$mirror"
