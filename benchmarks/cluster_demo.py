"""Past one machine, on one: servers from packages, an index run by Ray, three questions; all is stopped at the end.

    make cluster-demo            # PostgreSQL with pgvector
    make cluster-demo MILVUS=1   # Milvus searches the vectors; wants `make milvus-env` once

Photos are the samples of ``make demo``.  Each command is printed before it runs.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks import servers

QUESTIONS = ("a man with a camera", "a cup of coffee", "a cat")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--milvus", action="store_true")
    given = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mmsearch-demo-")))
        print("starting PostgreSQL ...", flush=True)
        address, _ = stack.enter_context(servers.postgres())
        environment = {**os.environ, "MMSEARCH_LIBRARY": address, "MMSEARCH_CACHE": str(folder / "cache")}
        if given.milvus:
            print("starting Milvus ...", flush=True)
            environment["MMSEARCH_VECTORS"] = stack.enter_context(servers.milvus())[0]
        photos = str(folder / "photos")
        samples = [sys.executable, "-m", "mmsearch.cli.samples", photos]
        subprocess.run(samples, env=environment, check=True)
        commands = [["cluster", "index", photos, "--model", "embedded"]]
        commands += [["query", "-k", "3", question] for question in QUESTIONS]
        commands += [["status"]]
        for command in commands:
            print(f"\n$ mmsearch {shlex.join(command)}", flush=True)
            words = [sys.executable, "-m", "mmsearch.cli", *command]
            if code := subprocess.run(words, env=environment, check=False).returncode:
                return code
        print("\nstopping the servers", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
