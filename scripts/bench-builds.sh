#!/usr/bin/env bash
# Compares the speed of two builds of this package on this machine: `bench-builds.sh BASE HEAD OUT [OPTION …]`, where BASE
# and HEAD are folders with a build, OUT is a new folder for reports and pages, and the options go to every `bench`.
# The builds take turns, three times each. Every run of HEAD is compared with the run of BASE just before it. One
# verdict can be bad luck of a busy machine: HEAD is worse when two of the three say so, and then the exit status is 3.
set -euo pipefail

readonly turns=3 enough=2 worse_status=3 max_regression=10%

if [ $# -lt 3 ]; then
  echo 'usage: bench-builds.sh BASE HEAD OUT [OPTION …]' >&2
  exit 2
fi
readonly base=$1/bin/mapped-ram.mjs head=$2/bin/mapped-ram.mjs out=$3
shift 3
for program in "$base" "$head"; do
  [ -f "$program" ] || { echo "bench-builds: expected a build of the package, found no $program" >&2; exit 2; }
done
mkdir "$out"

verdicts=0
for turn in $(seq "$turns"); do
  echo "=== turn $turn of $turns: base"
  node "$base" bench "$@" --save-baseline "$out/base-$turn.json" --html "$out/base-$turn.html"
  echo "=== turn $turn of $turns: head"
  status=0
  node "$head" bench "$@" --save-baseline "$out/head-$turn.json" --html "$out/head-$turn.html" \
    --baseline "$out/base-$turn.json" --max-regression "$max_regression" || status=$?
  case $status in
  0) ;;
  "$worse_status") verdicts=$((verdicts + 1)) ;;
  *) exit "$status" ;;
  esac
done
echo "=== $verdicts of $turns turns say that head is worse; $enough would be too many"
[ "$verdicts" -lt "$enough" ] || exit "$worse_status"
