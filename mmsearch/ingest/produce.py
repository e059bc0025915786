"""Files become vectors: read, decoded and encoded a bounded way ahead of who stores them.

``here`` does it with the threads of this process.  Whoever does it elsewhere, such as ``mmsearch.cluster``, is given to
an index run as its ``Produce``, and hands over the same.
"""

from __future__ import annotations

from collections.abc import Container, Generator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from mmsearch.ingest.encode import Encoded, encode
from mmsearch.ingest.prefetch import batches, one_ahead, read_ahead
from mmsearch.ingest.read import Read, picture_decoder, pictures_of
from mmsearch.store.open import MARK
from mmsearch.types import Found

if TYPE_CHECKING:
    from mmsearch.ingest.options import IngestContext

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
    options, threads = context.options.suited(context.encoder)
    store, encoder, model = context.store, context.encoder, context.model
    tokens = context.own_tokens is not None and options.regions

    def encoded(batch: Sequence[Read]) -> Encoded:
        made = encode(encoder, batch, options.batch, tokens, lambda hashed: store.parts_of(hashed, model))
        return replace(made, seconds=made.seconds / threads)

    with picture_decoder(options, store.folder / MARK, encoder.device, context.decoder) as decoder:
        reads = read_ahead(files, known, encoder.card.preprocess, options, decoder)
        yield from one_ahead(batches(reads, options.batch, pictures_of), encoded, threads)
