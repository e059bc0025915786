"""Files become vectors: read, decoded and encoded a bounded way ahead of who stores them.

``here`` does it with the threads of this process.  Whoever does it elsewhere, such as ``mmsearch.cluster``, is given to
an index run as its ``Produce``, and hands over the same.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mmsearch.encoders.protocol import Encoder
from mmsearch.ingest.encode import Encoded, encode
from mmsearch.ingest.prefetch import batches, one_ahead, read_ahead
from mmsearch.ingest.read import Read, picture_decoder, pictures_of
from mmsearch.media.decode import decode
from mmsearch.media.worker_pool import Decode
from mmsearch.store.open import MARK
from mmsearch.store.steps import carried, step
from mmsearch.store.types import StoredPart
from mmsearch.types import Found

if TYPE_CHECKING:
    from mmsearch.ingest.options import IngestContext, Options

Batch = tuple[Sequence[Read], Encoded]  # files as they were read, with what was made of each
Batches = Generator[Batch, None, None]


class Produce(Protocol):
    """Makes vectors of files, wherever."""

    def __call__(self, context: IngestContext, files: Sequence[Found], known: Container[bytes]) -> Batches:
        """The files in batches, each file once, in any order; of a content whose hash is ``known`` nothing is made.

        ``known`` grows while batches are taken.  A file whose content is of another file that came before it may have
        no picture.  It is closed by who takes the batches.
        """
        ...


def here(context: IngestContext, files: Sequence[Found], known: Container[bytes]) -> Batches:
    """A ``Produce``: threads read and decode, one encodes; two where the encoder is on a GPU."""
    store, model, options = context.store, context.model, context.options
    return produced(
        context.encoder, options, files, known,
        mark=store.folder / MARK,
        tokens=context.own_tokens is not None and options.regions,
        stored=lambda content_hash: store.parts_of(content_hash, model),
        decoder=context.decoder,
    )  # fmt: skip


def produced(
    encoder: Encoder,
    options: Options,
    files: Sequence[Found],
    known: Container[bytes],
    *,
    mark: Path,
    tokens: bool,
    stored: Callable[[bytes], Sequence[StoredPart]] = lambda _: (),
    decoder: Decode = decode,
) -> Batches:
    """The files in batches, in order; ``tokens`` says whether region tokens come with the vectors.

    ``mark`` as of ``read.py:picture_decoder``, ``stored`` as of ``encode.py:encode``.
    """
    options, threads = options.suited(encoder)

    def encoded(batch: Sequence[Read]) -> Encoded:
        with step("index_encode", files=len(batch)):
            made = encode(encoder, batch, options.batch, tokens, stored)
        return replace(made, seconds=made.seconds / threads)

    with picture_decoder(options, mark, encoder.device, decoder) as decoding:
        reads = read_ahead(files, known, encoder.card.preprocess, options, decoding)
        yield from one_ahead(batches(reads, options.batch, pictures_of), carried(encoded), threads)
