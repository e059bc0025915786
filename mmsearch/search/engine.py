"""What a search works on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmsearch.encoders.protocol import Encoder
from mmsearch.indexes.protocol import VectorIndex
from mmsearch.search.calibration import Calibration
from mmsearch.search.reranking import RerankStage
from mmsearch.store.types import StoredModel
from mmsearch.types import Vectors

if TYPE_CHECKING:
    from mmsearch.search.imagination import Imagination
    from mmsearch.store.protocol import Store
    from mmsearch.store.region_tokens import TokenModel


def no_tokens() -> TokenModel | None:
    """Where no model gives region tokens."""
    return None


@dataclass(frozen=True)
class Engine:
    """The parts of a library that searches use; none of them is changed by a search."""

    store: Store
    model: StoredModel
    index: VectorIndex  # rows are vectors and their hubness
    encoder: Encoder | None  # None where ``pipeline.needs_encoder`` says so
    querybank: Vectors | None = None  # what hubness is taken from; (m, dim)
    calibration: Calibration | None = None
    reranking: RerankStage | None = None
    tokens: Callable[[], TokenModel | None] = no_tokens  # the model that gives region tokens; may be another one
    max_megapixels: float = 200.0  # of example pictures
    imagination: Imagination | None = None  # imagines pictures of the words, where that is asked for
