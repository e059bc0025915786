#!/bin/bash
# How long `make demo` takes from nothing: a fresh clone, an empty home, without pip's cache, five times; then once with
# the full way in the place of the light one (`pip install .`), in the same session.
#
# benchmarks/demo.sh REPOSITORY REVISION [RUNS] [FULL_RUNS]
#
# Prints one JSON line: seconds (least, median, most, each), megabytes of the environment, and the load of the machine
# before and after each run.  What fails is printed instead.
set -euo pipefail
repository=$1 revision=$2 runs=${3:-5} full_runs=${4:-1}
python=${PYTHON:-python3}
results=$(mktemp)
folder=
trap 'rm -rf "$results" "$folder"' EXIT

load() { uptime | sed 's/.*load average[s]*: *//; s/[, ].*//'; }

install_full() { # where `make demo` looks for the light way
    "$python" -m venv .venv-demo
    .venv-demo/bin/python -m pip install --quiet --disable-pip-version-check .
    .venv-demo/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-compile \
        --target .venv-demo/samples scikit-image
    touch .venv-demo/.installed
}

run() { # light or full
    local busy begun ended
    folder=$(mktemp -d)
    git clone -q "$repository" "$folder/clone"
    git -C "$folder/clone" checkout -q "$revision"
    mkdir "$folder/home"
    busy=$(load)
    begun=$(date +%s.%N)
    (
        set -e
        export HOME="$folder/home" TMPDIR="$folder" PIP_NO_CACHE_DIR=1 MMSEARCH_OFFLINE=1
        cd "$folder/clone"
        if [ "$1" = full ]; then install_full; fi
        make demo PYTHON="$python" LIGHT=.venv-demo
    ) >"$folder/log" 2>&1 || { cat "$folder/log"; exit 1; }
    ended=$(date +%s.%N)
    echo "$1 $begun $ended $(du -sm "$folder/clone/.venv-demo" | cut -f1) $busy $(load)" >>"$results"
    rm -rf "$folder"
}

for _ in $(seq "$runs"); do run light; done
for _ in $(seq "$full_runs"); do run full; done
"$python" - "$results" "$revision" <<'PROGRAM'
import json, statistics, sys

found = {}
for line in open(sys.argv[1]):
    way, begun, ended, size, *load = line.split()
    kept = found.setdefault(way, {"seconds": [], "megabytes": int(size), "load": []})
    kept["seconds"].append(round(float(ended) - float(begun), 1))
    kept["load"].append([float(one) for one in load])
for kept in found.values():
    seconds = kept["seconds"]
    kept.update(least=min(seconds), median=statistics.median(seconds), most=max(seconds))
print(json.dumps({"benchmark": "demo", "revision": sys.argv[2], **found}))
PROGRAM
