"""Four threads search a library for a minute while another process indexes it.

    python tests/faults/soak_together.py [--seconds 60] [--threads 4]

One JSON line; exit code 1 where a search failed or an answer was not consistent.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from forked_runs import forked_runs
from together import together

from mmsearch.config import Settings
from mmsearch.encoders import factory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--threads", type=int, default=4)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        settings = replace(Settings(), library=place / "library", cache=place / "cache", reranker="none", regions=False)
        with forked_runs(os.environ) as forked:
            told = together(place, settings, factory.embedded(), forked, seconds=given.seconds, threads=given.threads)
    print(json.dumps({"seconds": given.seconds, "threads": given.threads, **told, "errors": told["errors"][:5]}))
    sys.exit(1 if told["errors"] else 0)


if __name__ == "__main__":
    main()
