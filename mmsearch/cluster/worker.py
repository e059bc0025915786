"""What runs on each machine of a cluster: a block of files is read, decoded and encoded, and nothing is stored.

Pixels stay there.  What goes back of a picture are its vector, its region tokens and what is known of its file.
"""

from __future__ import annotations

import pickle
import socket
import tempfile
import time
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mmsearch.encoders import factory
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.encoders.protocol import Encoder
from mmsearch.errors import MMSearchError, ModelMismatchError
from mmsearch.ingest.encode import Encoded, Made
from mmsearch.ingest.options import Options
from mmsearch.ingest.produce import Batch, produced
from mmsearch.ingest.read import Read
from mmsearch.media.dhash import dhash
from mmsearch.types import Found

APART_FROM = 2  # a block begun that often is decoded in processes of their own: something killed whoever had it before
MOST_TIMES = 3  # a block is given up, with a reason for each of its files, when it was begun more often

_NOTHING = np.zeros((0, 0, 3), np.uint8)


@dataclass(frozen=True)
class Job:
    """What every worker of a run is told.  It holds no address and no password of the library."""

    model: str
    fingerprint: str
    models: factory.LoadOptions
    options: Options
    tokens: bool  # region tokens come with the vectors
    cpus: int  # for each worker


@dataclass(frozen=True)
class Done:
    """What a worker made of a block of files."""

    block: int
    node: str  # the machine's name
    seconds: float
    batches: list[Batch]
    error: MMSearchError | None = None  # why nothing can be encoded there


class Worker:
    """A process that encodes: made once on each core, or GPU, and given one block after the other by Ray Data."""

    def __init__(self, job: Job, claims: Any) -> None:
        """``claims`` is the handle of an actor with ``Claims``."""
        self._job, self._claims = job, claims
        self._node = socket.gethostname()
        self._encoder: Encoder | None = None  # loaded with the first block, whose result can say what went wrong
        threads = max(2, 2 * job.cpus)  # more than cores: who reads from a network waits most of the time
        self._options = replace(job.options, decoders=job.options.decoders or threads, isolate="auto")

    def __call__(self, rows: dict[str, Any]) -> dict[str, Any]:
        """Blocks of files as Ray Data gives them, ``Done`` for each, both pickled."""
        done = [self.encode(int(number), pickle.loads(files)) for number, files in zip(*rows.values(), strict=True)]
        return {"done": [pickle.dumps(one, protocol=5) for one in done]}

    def encode(self, block: int, files: Sequence[Found]) -> Done:
        """All files of a block, each once."""
        import ray

        begun = time.perf_counter()
        times = ray.get(self._claims.begin.remote(block))
        if times > MOST_TIMES:
            reason = f"whoever read it and {len(files) - 1} others went away {MOST_TIMES} times"
            given_up = [Read(file, failure=reason, retry=True) for file in files]
            return Done(block, self._node, 0.0, [(given_up, Encoded([None] * len(files), 0.0))])
        try:
            self._encoder = self._encoder or self.loaded()
        except MMSearchError as error:
            return Done(block, self._node, 0.0, [], error)
        options = replace(self._options, isolate="always") if times >= APART_FROM else self._options
        with tempfile.TemporaryDirectory(prefix="mmsearch-") as folder:
            batches = produced(
                self._encoder,
                options,
                files,
                _Claimed(self._claims, block),
                mark=Path(folder) / "decoding",
                tokens=self._job.tokens,
            )
            without = [light(batch) for batch in batches]
        return Done(block, self._node, time.perf_counter() - begun, without)

    def loaded(self) -> Encoder:
        """The encoder of the run.  Raises ModelError, ModelMismatchError where it cannot be had on this machine."""
        job = self._job
        encoder = factory.remembering(factory.for_card(job.model, job.fingerprint, job.models), job.models)
        if encoder.card.fingerprint != job.fingerprint:
            raise ModelMismatchError(encoder.card.name, job.model)
        if isinstance(encoder, OnnxEncoder):
            encoder.threads = job.cpus  # other workers have the other cores
        return encoder


class _Claimed(Container[bytes]):
    """The contents that are not to be encoded by this block."""

    def __init__(self, claims: Any, block: int) -> None:
        self._claims, self._block = claims, block

    def __contains__(self, content_hash: object) -> bool:
        import ray

        return not ray.get(self._claims.claim.remote(self._block, content_hash))


def light(batch: Batch) -> Batch:
    """The same without pixels; what is worked out of them when a picture is stored is worked out here."""
    reads, encoded = batch
    made = [None if one is None else _without_pixels(one) for one in encoded.made]
    return [replace(read, picture=None) for read in reads], Encoded(made, encoded.seconds)


def _without_pixels(made: Made) -> Made:
    picture = made.picture
    return replace(
        made,
        picture=replace(
            picture,
            pixels=_NOTHING,
            dhash=None if picture.is_sound else dhash(picture.pixels),
            parts=tuple(replace(part, pixels=_NOTHING) for part in picture.parts),
        ),
        vectors=np.ascontiguousarray(made.vectors),  # a view would take the whole batch along
    )
