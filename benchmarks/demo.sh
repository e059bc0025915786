#!/bin/bash
# How long `make demo` takes from nothing: a fresh clone, an empty home, without pip's cache.
# benchmarks/demo.sh REPOSITORY REVISION: prints the seconds, the size of the environment and how busy the machine was.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
git clone -q "$1" "$folder/clone"
git -C "$folder/clone" checkout -q "$2"
mkdir "$folder/home"
busy=$(cut -d' ' -f1 /proc/loadavg)
begun=$(date +%s.%N)
HOME="$folder/home" TMPDIR="$folder" PIP_NO_CACHE_DIR=1 MMSEARCH_OFFLINE=1 make -C "$folder/clone" demo >"$folder/log" 2>&1 ||
    { cat "$folder/log"; exit 1; }
seconds=$(echo "$(date +%s.%N) - $begun" | bc)
size=$(du -sm "$folder"/clone/.venv* | cut -f1)
echo "$2: $seconds s, $size MB, load $busy before and $(cut -d' ' -f1 /proc/loadavg) after"
