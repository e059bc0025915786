"""A library on servers is indexed by a Ray cluster while its parts are killed, round after round; then all is checked.

    python tests/faults/cluster_soak.py [--rounds 15] [--photos 40] [--kills 6] [--seed 0] [--milvus]

PostgreSQL, an object store (moto's server), Ray with two nodes and, with ``--milvus``, a Milvus run on this machine.
In each round photos are added and others deleted, and ``index`` is run until it ends well, while at random moments a
worker, a node, the process that indexes, the postmaster or Milvus is killed by SIGKILL, and the object store answers
one request in three with an error, half of an answer, or nothing for a while.  Then, without faults: what can be found
is what is on the disk (else ``lost``); every vector is that of its photo, region tokens are there, and nothing is
damaged (else ``wrong``); nothing was encoded whose vector was stored before (else ``twice``); the engine of vectors
holds what it should (else ``unreconciled``).  One JSON line; exit code 1 where any of the four is not 0.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

import numpy as np
import psutil  # type: ignore[import-untyped]
from PIL import Image

from benchmarks import ray_cluster
from mmsearch import config
from mmsearch.library.library import Library
from mmsearch.library.opening import open_library
from mmsearch.media.decode import decode

SHARE = 3  # one request in so many to the object store goes wrong
PAUSE = (0.4, 2.5)  # seconds between two kills
TRIES = 60  # of an index run in a round


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--photos", type=int, default=40)
    parser.add_argument("--kills", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--milvus", action="store_true")
    parser.add_argument("--index", nargs=4, metavar=("LIBRARY", "PHOTOS", "ADDRESS", "LOG"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.index:
        index(*given.index)
        return 0
    with tempfile.TemporaryDirectory(prefix="mmsearch-soak-") as folder, ExitStack() as stack:
        told = Soak(Path(folder), given, stack).run()
    print(json.dumps(told))
    return 1 if any(told[name] for name in ("lost", "wrong", "twice", "unreconciled")) else 0


def index(library: str, photos: str, address: str, log: str) -> None:
    """What is killed: an index run whose workers write down which contents they encode."""
    import ray
    from ray import cloudpickle

    from mmsearch.cluster import encoding, indexing, worker
    from mmsearch.cluster.handing_out import Workers

    class Noting(worker.Worker):
        def encode(self, block: int, files: Any) -> Any:
            done = super().encode(block, files)
            hashes = [
                read.content_hash.hex()
                for reads, encoded in done.batches
                for read, made in zip(reads, encoded.made, strict=True)
                if made is not None
            ]
            with open(log, "a") as file:
                file.write("".join(f"{one}\n" for one in hashes))
            return done

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    encoding.Worker = Noting  # type: ignore[attr-defined]
    ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    with opened(Path(library)) as own:
        report = indexing.index(own, photos, workers=Workers(block=4), wait=True)
    Path(log).with_suffix(".done").write_text(json.dumps([one.reason for one in report.skipped]))


def opened(file: Path) -> Library:
    return open_library(file, settings=replace(config.Settings(), model="embedded", device="cpu", isolate="never"))


class Soak:
    def __init__(self, folder: Path, given: argparse.Namespace, stack: ExitStack) -> None:
        import object_server
        from postgres_server import Server

        self.folder, self.given, self.random = folder, given, random.Random(given.seed)
        self.counts: Counter[str] = Counter()
        self.found: Counter[str] = Counter()
        self.faulty = threading.Event()
        self.postgres = Server()
        stack.callback(self.postgres.end)
        with self.postgres.connect() as connection:
            connection.execute("CREATE DATABASE soak")
        self.store = object_server.object_server()
        between = stack.enter_context(object_server.between(self._fault, self.store))
        os.environ.update(self.store.environment(between.url))
        parts = [f'metadata = "{self.postgres.url("soak")}"', f'blobs = "s3://{self.store.bucket()}/soak"']
        self.milvus: Any = None
        if given.milvus:
            from milvus_server import MilvusServer

            self.milvus = MilvusServer()
            stack.callback(self.milvus.end)
            parts.append(f'vectors = "{self.milvus.uri}"')
        self.library = folder / "mmsearch.toml"
        self.library.write_text("\n".join(parts) + "\n")
        self.nodes = stack.enter_context(ray_cluster.cluster())
        self.photos = folder / "photos"
        self.photos.mkdir()
        self.log = folder / "encoded.log"
        self.kinds: list[Callable[[Any], str]] = [self._worker, self._node, self._process, self._postmaster]
        if self.milvus is not None:
            self.kinds.append(self._milvus)

    def run(self) -> dict[str, Any]:
        begun = time.monotonic()
        for number in range(self.given.rounds):
            self._change(number)
            self._index(number)
            self._check()
            print(f"round {number + 1}: {dict(self.counts)} {dict(self.found)}", file=sys.stderr, flush=True)
        names = ("lost", "wrong", "twice", "unreconciled")
        return {
            "rounds": self.given.rounds, "seconds": round(time.monotonic() - begun), "faults": self.counts.total(),
            **dict(self.counts), **{name: self.found[name] for name in names}, "photos": self.found["photos"],
        }  # fmt: skip

    def _change(self, number: int) -> None:
        """New photos, a copy of each eighth; some old ones go."""
        rng = np.random.default_rng([self.given.seed, number])
        for file in self.random.sample(there := sorted(self.photos.iterdir()), len(there) // 10):
            file.unlink()
        for photo in range(self.given.photos):
            pixels = np.kron(rng.integers(0, 256, (4, 4, 3), np.uint8), np.ones((24, 24, 1), np.uint8))
            file = self.photos / f"{number:03}_{photo:03}.png"
            Image.fromarray(pixels).save(file)
            if photo % 8 == 0:
                (self.photos / f"{number:03}_{photo:03}_copy.png").write_bytes(file.read_bytes())

    def _index(self, number: int) -> None:
        """Run ``index`` until it ends well; after so many kills nothing more is killed."""
        left = self.given.kills
        for _ in range(TRIES):
            stored = self._stored()
            before = self.log.stat().st_size if self.log.exists() else 0
            self.faulty.set()
            command = [sys.executable, __file__, "--index", str(self.library), str(self.photos)]
            said = self.folder / "said.txt"
            with (
                said.open("w") as to,
                subprocess.Popen([*command, self.nodes.address, str(self.log)], stdout=to, stderr=to) as process,
            ):
                while left and process.poll() is None:
                    time.sleep(self.random.uniform(*PAUSE))
                    if process.poll() is None:
                        self.counts[self.random.choice(self.kinds)(process)] += 1
                        left -= 1
                process.wait()
            errors = said.read_text("utf-8", "replace")
            self.faulty.clear()
            encoded = self.log.read_text()[before:].split() if self.log.exists() else []
            self.found["twice"] += len(stored & set(encoded))
            if process.returncode == 0 and not json.loads(self.log.with_suffix(".done").read_text()):
                return
            if process.returncode == 1 and "Traceback" in errors and "mmsearch.errors." not in errors:
                print(errors[-3000:], file=sys.stderr)
                self.found["wrong"] += 1
        raise SystemExit(f"round {number}: no index run of {TRIES} ended well: {errors[-2000:]}")

    def _stored(self) -> set[str]:
        """Hashes of contents that have a vector."""
        with self.postgres.connect("soak") as connection:
            if connection.execute("SELECT to_regclass('embeddings')").fetchone() == (None,):
                return set()
            rows = connection.execute(
                "SELECT encode(hash, 'hex') FROM contents JOIN items ON content_id = contents.id "
                "JOIN embeddings ON item_id = items.id"
            ).fetchall()
        return {str(row[0]) for row in rows}

    def _check(self) -> None:
        from mmsearch.cluster.reconciling import reconcile

        with opened(self.library) as library:
            model = library.store.model()
            assert model is not None
            ids = library.store.searchable(model)
            files = {photo.path: number for number, own in library.store.photos(ids.tolist()).items() for photo in own}
            there = {str(file) for file in self.photos.iterdir()}
            self.found["lost"] += len(there ^ files.keys())
            self.found["photos"] = len(there)
            encoder = library.encoder()
            for path, number in files.items():
                if not os.path.basename(path).startswith(f"{self.given.rounds:03}") and self.random.random() < 0.9:
                    continue  # a tenth of all is encoded again
                with open(path, "rb") as opened_file:
                    pixels = decode(opened_file, path, encoder.card.preprocess).pixels
                right = encoder.encode_images(pixels[None])[0]
                own = library.store.vectors(np.array([number]), model.dim)[0]
                self.found["wrong"] += bool(np.abs(own - right).max() > 2e-3)
            card = encoder.card.regions
            assert card is not None
            self.found["wrong"] += int((~library.store.regions(ids, model, card)[1]).sum())
            self.found["wrong"] += len(library.verify(deep=True))
            self.found["unreconciled"] += sum(one.missing + one.foreign for one in reconcile(library, dry=True))

    # -- what is killed -----------------------------------------------------------------------------------------------

    def _worker(self, process: Any) -> str:
        running = psutil.process_iter(["cmdline"])
        workers = [one for one in running if (one.info["cmdline"] or [""])[0].startswith("ray::MapWorker")]
        if workers:
            with contextlib.suppress(psutil.NoSuchProcess):
                self.random.choice(workers).kill()
        return "workers killed" if workers else "workers not there"

    def _node(self, process: Any) -> str:
        ray_cluster.kill(self.nodes, self.random.choice(list(self.nodes.worker_nodes)))
        ray_cluster.add_node(self.nodes)
        return "nodes killed"

    def _process(self, process: Any) -> str:
        process.send_signal(signal.SIGKILL)
        return "indexing processes killed"

    def _postmaster(self, process: Any) -> str:
        self.postgres.kill()
        self.postgres.restart()
        return "postmasters killed"

    def _milvus(self, process: Any) -> str:
        self.milvus.kill()
        self.milvus.start()
        return "Milvus killed"

    def _fault(self, asked: Any) -> Any:
        import object_server

        if not self.faulty.is_set() or self.random.randrange(SHARE):
            return None
        self.counts["answers of the object store"] += 1
        return self.random.choice(
            [
                object_server.Fault(500, "InternalError"),
                object_server.Fault(503, "SlowDown"),
                object_server.Fault(cut=100),
                object_server.Fault(gate=_soon()),
            ]
        )


def _soon() -> threading.Event:
    """Set after a second."""
    event = threading.Event()
    threading.Timer(1.0, event.set).start()
    return event


if __name__ == "__main__":
    sys.exit(main())
