"""Files are encoded by the workers of a cluster: a ``Produce`` for an index run.

Ray Data hands out blocks of files, as paths, and holds back where results wait.  What comes back is stored by the
process that runs this, a transaction a batch, as in any index run: so what is stored is not encoded again, whatever
dies.  A block whose worker or machine dies is given to another one.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Sequence
from dataclasses import replace
from typing import Any

from mmsearch.cluster.claims import Claims
from mmsearch.cluster.handing_out import Workers, handed_out
from mmsearch.cluster.worker import Done, Job, Worker
from mmsearch.encoders.factory import LoadOptions
from mmsearch.errors import ClusterError
from mmsearch.ingest import produce
from mmsearch.ingest.encode import Encoded, Made
from mmsearch.ingest.options import IngestContext
from mmsearch.ingest.produce import Batches
from mmsearch.ingest.read import Read
from mmsearch.types import Found

log = logging.getLogger(__name__)

TELL_EVERY = 30.0  # seconds between two lines about the machines


class OnRay:
    """A ``Produce`` over the Ray that this process is connected to; ``rates`` says afterwards who did how much."""

    def __init__(self, models: LoadOptions, workers: Workers = Workers()) -> None:  # noqa: B008  # it is frozen
        self._models, self._workers = models, workers
        self.rates = Rates()

    def __call__(self, context: IngestContext, files: Sequence[Found], known: Container[bytes]) -> Batches:
        """Raises ClusterError; what the model raises where a worker cannot load it."""
        if not files:
            return
        import ray

        model, options = context.model, context.options
        tokens = context.own_tokens is not None and options.regions
        job = Job(model.name, model.fingerprint, self._models, options, tokens, self._workers.cpus)
        claims = _claims(known if isinstance(known, Iterable) else ())
        self.rates.begin()
        held = _Held(context, known)
        try:
            for done in handed_out(job, claims, files, self._workers, Worker):
                if done.error is not None:
                    log.info("%s cannot encode", done.node)
                    raise done.error
                self.rates.count(done)
                for reads, encoded in done.batches:
                    yield held.taken(reads, encoded)
                    released = held.released()
                    if released:
                        yield released, Encoded([None] * len(released), 0.0)
        except ray.exceptions.RayError as error:
            raise ClusterError(
                f"the cluster failed, and what was stored by then stays: {_said(error)}", code="cluster-failed"
            ) from error
        finally:
            ray.kill(claims)
        # Copies of what nobody could encode, and films of which there are items of another model: as in any run.
        yield from produce.here(context, held.left(), known)


class _Held:
    """Files that wait until what another file with the same content holds is stored."""

    def __init__(self, context: IngestContext, known: Container[bytes]) -> None:
        self._context, self._known = context, known
        self._waiting: defaultdict[bytes, list[Read]] = defaultdict(list)
        self._again: list[Found] = []

    def taken(self, reads: Sequence[Read], encoded: Encoded) -> tuple[list[Read], Encoded]:
        """What of a batch can be stored now."""
        now: list[tuple[Read, Made | None]] = []
        fresh = {read.content_hash for read, made in zip(reads, encoded.made, strict=True) if made is not None}
        for read, made in zip(reads, encoded.made, strict=True):
            if made is not None and made.picture.parts and self._has_items(read.content_hash):
                self._again.append(read.file)
            elif made is None and read.failure is None and not self._is_known(read.content_hash, fresh):
                self._waiting[read.content_hash].append(read)
            else:
                now.append((read, made))
        return [read for read, _ in now], replace(encoded, made=[made for _, made in now])

    def _has_items(self, content_hash: bytes) -> bool:
        return bool(self._context.store.parts_of(content_hash, self._context.model))

    def _is_known(self, content_hash: bytes, fresh: set[bytes]) -> bool:
        return content_hash in fresh or content_hash in self._known

    def released(self) -> list[Read]:
        """Files whose content is stored by now."""
        there = [content_hash for content_hash in self._waiting if content_hash in self._known]
        return [read for content_hash in there for read in self._waiting.pop(content_hash)]

    def left(self) -> list[Found]:
        """Files that are to be read here."""
        return [*self._again, *(read.file for reads in self._waiting.values() for read in reads)]


class Rates:
    """Which machine did how many files; a line about it every now and then."""

    def __init__(self) -> None:
        self.files: Counter[str] = Counter()
        self._begun = self._told = time.monotonic()

    def begin(self) -> None:
        self._begun = self._told = time.monotonic()

    def count(self, done: Done) -> None:
        self.files[done.node] += sum(len(reads) for reads, _ in done.batches)
        if time.monotonic() - self._told > TELL_EVERY:
            self._told = time.monotonic()
            log.info("%s", self.line())

    def line(self) -> str:
        """Files a second of each machine, since the run began."""
        seconds = max(1e-9, time.monotonic() - self._begun)
        each = (f"{node} {files:,} ({files / seconds:.1f}/s)" for node, files in sorted(self.files.items()))
        return f"files by machine: {', '.join(each)}"


def _claims(known: Iterable[bytes]) -> Any:
    """The actor that all workers ask; on the machine of this process, with which it ends."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor = ray.remote(Claims).options(num_cpus=0, scheduling_strategy=here)
    return actor.remote(frozenset(known))


def _said(error: BaseException) -> str:
    """The last line of what Ray says: the ones before it are where it happened."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:300]
