"""How an index run reads, encodes and enriches, and what all of its parts are given."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mmsearch.encoders.protocol import Encoder, RegionCard
from mmsearch.media.decode import decode
from mmsearch.media.worker_pool import Decode
from mmsearch.store.protocol import Store
from mmsearch.store.region_tokens import TokenModel
from mmsearch.store.types import StoredModel
from mmsearch.types import Progress

if TYPE_CHECKING:
    from typing_extensions import Self

    from mmsearch.config import Settings
    from mmsearch.ingest.produce import Produce


@dataclass(frozen=True)
class Options:
    """How to index."""

    exclude: Sequence[str] | None = None  # globs of names and paths to leave out of the roots; None: as before
    max_megapixels: float = 200.0
    batch: int = 32
    decoders: int = 0  # reading threads; 0 is one a core
    regions: bool = True  # store region tokens too, where the model gives them
    gpu_decoding: bool = False  # where the encoder is on a GPU: large JPEGs are decoded there
    isolate: str = "auto"  # decode in processes of their own: "always", "never", "auto" after a run that died
    reranker: str = "auto"  # what writes captions, as in the settings
    speech: str = ""  # the folder of a model that hears what is said in films, as in the settings
    asked: Set[str] = frozenset()  # names of enrichments that run only where they are asked for
    addresses: Sequence[str] = ()  # of single files in object stores or on web servers, read beside the roots

    @classmethod
    def from_settings(
        cls,
        settings: Settings,
        *,
        exclude: Sequence[str] | None = None,
        max_megapixels: float | None = None,
        asked: Set[str] = frozenset(),
        addresses: Sequence[str] = (),
    ) -> Self:
        """What the settings say; ``max_megapixels`` takes the place of theirs."""
        return cls(
            exclude=exclude,
            max_megapixels=max_megapixels or settings.max_megapixels,
            batch=settings.batch,
            decoders=settings.decoders,
            regions=settings.regions,
            gpu_decoding=settings.gpu_decoding,
            isolate=settings.isolate,
            reranker=settings.reranker,
            speech=settings.speech,
            asked=asked,
            addresses=addresses,
        )

    @property
    def readers(self) -> int:
        """Threads that read."""
        return self.decoders or os.cpu_count() or 1

    def suited(self, encoder: Encoder) -> tuple[Options, int]:
        """The options with the batches that the encoder likes, where these are larger, and how many threads give them.

        Two where it is on a GPU: that has its next batch while the CPU fetches and packs what it made of the last one.
        """
        wanted = encoder.batch  # not 0 on a GPU; where there are several GPUs, for all together
        return replace(self, batch=max(self.batch, wanted)), 2 if wanted else 1


@dataclass(frozen=True)
class IngestContext:
    """What every part of an index run is given."""

    store: Store
    model: StoredModel  # whose vectors are made
    encoder: Encoder  # that makes them
    roots: Sequence[str]  # absolute paths of folders and files
    options: Options = Options()
    progress: Callable[[Progress], None] | None = None  # called in the thread of the run
    tokens: TokenModel | None = None  # what region tokens are of; None where no model gives any
    decoder: Decode = decode  # reads a file
    produce: Produce | None = None  # makes vectors of files; None: ``ingest/produce.py:here``
    everything: bool = False  # the roots are all that the library knows

    @property
    def own_tokens(self) -> RegionCard | None:
        """The card of the region tokens that come with the vectors; None where they come from another model."""
        return self.tokens.card if self.tokens is not None and self.tokens.encoder is self.encoder else None
