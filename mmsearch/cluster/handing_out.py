"""Blocks of files go to workers, and what these make of them comes back: Ray Data over a pool of processes."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from mmsearch.cluster.worker import Done, Job, Worker
from mmsearch.types import Found

BLOCK = 128  # files that go to a worker together
WAVE = 4096  # blocks that Ray plans at a time


@dataclass(frozen=True)
class Workers:
    """How many there are to be, and what each gets."""

    most: int = 0  # processes; 0: as many as the cluster has room for when the run begins
    cpus: int = 1  # cores for each
    block: int = BLOCK  # files


def handed_out(job: Job, claims: Any, files: Sequence[Found], workers: Workers, of: type[Worker]) -> Iterator[Done]:
    """What workers, which are ``of`` this class, make of the files, in any order.

    Ray Data runs only in a process of the cluster: one that is connected by ``ray://`` has an actor there do it.
    """
    import ray

    blocks = [list(files[start : start + workers.block]) for start in range(0, len(files), workers.block)]
    if not ray.util.client.ray.is_connected():
        yield from _planned(job, claims, blocks, workers, of)
        return
    relay = ray.remote(_Relay).options(num_cpus=0).remote(job, claims, blocks, workers, of)
    try:
        while (done := ray.get(relay.next.remote())) is not None:
            yield pickle.loads(done)
    finally:
        ray.kill(relay)


class _Relay:
    """Hands out blocks on a machine of the cluster, and gives what comes back when it is asked for it."""

    def __init__(self, *given: Any) -> None:
        self._done = _planned(*given)

    def next(self) -> bytes | None:
        """The next ``Done``, pickled; None after the last."""
        done = next(self._done, None)
        return None if done is None else pickle.dumps(done, protocol=5)


def _planned(
    job: Job, claims: Any, blocks: Sequence[list[Found]], workers: Workers, of: type[Worker]
) -> Iterator[Done]:
    import ray
    from ray.data import ActorPoolStrategy

    gpus = 0 if job.models.device == "cpu" else ray.cluster_resources().get("GPU", 0)
    room = max(1, int(gpus or ray.cluster_resources().get("CPU", 1) // job.cpus))
    numbered = enumerate(blocks)
    while wave := list(islice(numbered, WAVE)):
        rows = [{"block": number, "files": pickle.dumps(some)} for number, some in wave]
        most = min(workers.most or room, len(rows))
        encoded = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            of,
            batch_size=1,
            batch_format="numpy",
            fn_constructor_args=(job, claims),
            compute=ActorPoolStrategy(min_size=1, max_size=most, initial_size=min(most, room)),
            num_cpus=job.cpus,
            num_gpus=1 if gpus else None,
        )
        for row in encoded.iter_rows():
            yield pickle.loads(row["done"])
