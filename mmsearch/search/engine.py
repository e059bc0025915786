"""What a search works on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mmsearch.encoders.protocol import Encoder
from mmsearch.errors import LibraryError, UnreachableError
from mmsearch.indexes.protocol import VectorIndex
from mmsearch.search.calibration import Calibration
from mmsearch.search.reranking import RerankStage
from mmsearch.store import limit
from mmsearch.store.breaker import Engines
from mmsearch.store.steps import step
from mmsearch.store.types import StoredModel, WordHit
from mmsearch.types import Ids, Vectors

if TYPE_CHECKING:
    from mmsearch.search.imagination import Imagination
    from mmsearch.store.protocol import Store
    from mmsearch.store.region_tokens import TokenModel


WORDS_SHARE = 0.5  # of the time that is left, for each look at the words: more follows


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
    engines: Engines = field(default_factory=Engines)  # what is asked, a breaker for each
    no_words: UnreachableError | None = None  # why words are not looked up in this search

    def find_words(self, text: str, among: Ids | None = None, limit: int = 1000, exact: bool = False) -> list[WordHit]:
        """As ``Store.find_words``; nothing where this search does without words, unless they are ``exact``.

        Raises UnreachableError where words are too slow: then it is searched again without them.
        """
        if self.no_words is not None:
            if exact:  # a condition that nobody can tell
                raise self.no_words
            return []
        with step("words"), self._asking_words():
            return self.store.find_words(text, self.model, among, limit, exact)

    def reasons(self, text: str, ids: list[int]) -> dict[int, tuple[str, ...]]:
        """As ``Store.reasons``, in the same way."""
        if self.no_words is not None:
            return {}
        with step("facts"), self._asking_words():
            return self.store.reasons(text, ids, self.model)

    @contextmanager
    def _asking_words(self) -> Iterator[None]:
        breaker = self.engines.words
        try:
            with breaker.asked(_is_slow), limit.share(WORDS_SHARE):
                yield
        except LibraryError as error:
            if _is_slow(error):
                raise UnreachableError("words", breaker.name, str(error)) from error
            raise


def _is_slow(error: BaseException) -> bool:
    """Whether the server gave up; one that is away has nothing else either."""
    return isinstance(error, LibraryError) and error.code == limit.OVER
