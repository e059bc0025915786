"""Pages of a search: joined they are one larger search, and each says where the next one begins."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from scores import score as score_of

from mmsearch.config import Settings
from mmsearch.encoders.factory import EMBEDDED
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.errors import QueryError
from mmsearch.indexes.index import StoredIndex
from mmsearch.indexes.protocol import Neighbours
from mmsearch.indexes.vector_file import Rows
from mmsearch.library.opening import open_library
from mmsearch.query.files import parse
from mmsearch.search.calibration import Calibration, Logistic
from mmsearch.search.engine import Engine
from mmsearch.search.options import Options
from mmsearch.search.pipeline import search
from mmsearch.search.reranking import Notes, RerankStage
from mmsearch.search.retrieval import beta
from mmsearch.search.scored import Scored
from mmsearch.search.text_adapter import moved
from mmsearch.store.protocol import Store
from mmsearch.store.sqlite.store import SqliteStore
from mmsearch.store.types import StoredModel
from mmsearch.types import Decoded, Exif, Found, Hit, Ids, Note, Photo, SearchResult, Vectors

COUNT = 300
QUERIES = (
    "a dog on a beach",
    "kite",  # many pictures have the word
    "a kite camera:leica",
    "a dog -cat",
    "+dog +beach",
    "words:kite a dog",
    "date:2020-01",
    "sort:name",
    "sort:size:asc -kite",
)
FOLDED = QUERIES[:4]  # with which folding is tried
ENGINES = ("exact", "approximate", "reranked", "judged")


class Forgetful(StoredIndex):
    """Finds the more of the nearest the more are asked for, as approximate indexes do: others are not among them."""

    def search(self, queries: Vectors, k: int, allowed: Ids | None = None) -> Neighbours:
        found = super().search(queries, len(self), allowed)
        for row, ids in enumerate(found.ids):
            missed = (ids >= 0) & (ids * 7919 % 1000 >= 500 + 60 * np.log2(k))
            order = np.argsort(missed, kind="stable")  # the missed ones last, for who wants all
            found.ids[row], found.scores[row] = ids[order], found.scores[row][order]
        return Neighbours(found.ids[:, :k], found.scores[:, :k])


@dataclass(frozen=True)
class Shuffling(RerankStage):
    """A reranker that puts its candidates in an order that has nothing to do with the first stage."""

    def rank(
        self, texts: Sequence[str], candidates: Sequence[Scored], store: Store, model: StoredModel
    ) -> tuple[list[Scored], Notes]:
        shuffled = sorted(candidates, key=lambda one: one.id * 7919 % 1000)
        return [one._replace(score=3.0 - 0.01 * row, reranked=True) for row, one in enumerate(shuffled)], ()


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory, encoder: OnnxEncoder) -> Iterator[dict[str, Engine]]:
    """300 pictures of random vectors, every fifth near to the one before; every third is there twice.

    Two thirds have the word "kite" in their names.
    """
    rng = np.random.default_rng(0)
    dim = encoder.card.dim
    vectors = rng.standard_normal((COUNT, dim)).astype(np.float32)
    vectors[4::5] = vectors[3::5] + 0.2 * vectors[4::5]
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16).astype(np.float32)
    pixels = np.zeros((8, 8, 3), np.uint8)
    with SqliteStore(tmp_path_factory.mktemp("paging") / "library.sqlite") as store:
        with store.writing() as writer:
            model = writer.add_model("m", encoder.card.fingerprint, dim, active=True)
            for number in range(COUNT):
                exif = Exif(datetime(2020, 1, 1) + timedelta(hours=7 * number), "Leica" if number % 3 else "Canon")
                content = writer.put(b"%d" % number, Decoded(pixels, 40, 30, "jpeg", exif), vectors[number], model)
                name = f"{number} kite" if number % 3 else str(number)
                writer.place(Found(f"/photos/{name}.jpg", 1000 + number, 0), content)
                if number % 3 == 0:
                    writer.place(Found(f"/copies/{name}.jpg", 1000 + number, 0), content)
        ids = store.searchable(model)
        photos = store.photos(ids.tolist())
        order = [int(Path(photos[vector_id][-1].path).stem.split()[0]) for vector_id in ids.tolist()]
        hubness = rng.uniform(0, 0.3, COUNT).astype(np.float32)
        rows = Rows(dim + 1).plus(ids, np.column_stack([vectors, hubness])[order])
        exact = Engine(store, model, StoredIndex(rows), encoder)
        stage = Shuffling(reranker=None, tokens=None, rerank_depth=30)  # type: ignore[arg-type]  # it needs none
        bank = vectors[:50]
        yield {
            "exact": exact,
            "approximate": replace(exact, index=Forgetful(rows)),
            "reranked": replace(exact, index=Forgetful(rows), reranking=stage),
            "judged": replace(exact, querybank=bank, calibration=Calibration(Logistic(20.0, 0.0, 0.0, 0.0))),
        }


@pytest.fixture
def engine(engines: dict[str, Engine]) -> Engine:
    return engines["exact"]


@examples(max_examples=25, deadline=None)
@given(
    kind=st.sampled_from(ENGINES),
    query=st.sampled_from(QUERIES),
    diverse=st.booleans(),
    sizes=st.lists(st.integers(1, 60), min_size=2, max_size=5),
)
def test_pages_joined_are_one_larger_search(
    engines: dict[str, Engine], kind: str, query: str, diverse: bool, sizes: list[int]
) -> None:
    engine, parsed = engines[kind], parse(query.split())
    whole = search(engine, parsed, Options(k=sum(sizes), diverse=diverse))
    joined: list[Hit] = []
    for size in sizes:
        page = search(engine, parsed, Options(k=size, offset=len(joined), diverse=diverse))
        joined += page
        if page.next_offset is None:
            break
        assert page.next_offset == len(joined)
    assert joined == whole
    assert [hit.rank for hit in whole] == list(range(1, len(whole) + 1))


@pytest.mark.parametrize(
    ("query", "diverse"), [(query, diverse) for query in QUERIES for diverse in (False, True)[: 1 + (query in FOLDED)]]
)
@pytest.mark.parametrize("kind", ENGINES)
def test_all_pages_are_all_hits_and_the_last_one_says_so(
    engines: dict[str, Engine], kind: str, query: str, diverse: bool
) -> None:
    engine, parsed = engines[kind], parse(query.split())
    everything = search(engine, parsed, Options(k=2 * COUNT, diverse=diverse))
    assert everything.next_offset is None
    joined: list[Hit] = []
    offset: int | None = 0
    while offset is not None:
        page = search(engine, parsed, Options(k=71, offset=offset, diverse=diverse))
        assert page.next_offset in (None, offset + 71)
        joined += page
        offset = page.next_offset
    assert joined == everything
    assert len({hit.path for hit in everything}) == len(everything)
    assert search(engine, parsed, Options(k=5, offset=3 * COUNT, diverse=diverse)) == []
    if kind != "judged" and not diverse and query in ("a dog on a beach", "kite", "sort:name"):
        assert len(everything) == COUNT + COUNT // 3  # files


def test_the_order_is_that_of_brute_force(engine: Engine) -> None:
    text = "a dog on a beach"
    assert engine.encoder is not None
    ids = engine.index.ids()
    rows = engine.index.vectors(ids)
    query = moved(engine.encoder, engine.encoder.encode_texts([text])[0], text)
    scores = rows[:, :-1] @ query - beta(text) * rows[:, -1]
    photos = engine.store.photos(ids.tolist())
    expected = [photo.path for row in np.argsort(-scores) for photo in photos[int(ids[row])]]
    pages = [search(engine, parse(text.split()), Options(k=50, offset=offset)) for offset in range(0, 400, 50)]
    assert [hit.path for page in pages for hit in page] == expected


@pytest.mark.parametrize("kind", ENGINES)
def test_scores_never_rise(engines: dict[str, Engine], kind: str) -> None:
    for query in ("a dog on a beach", "kite", "a dog -cat"):
        scores = [score_of(hit) for hit in search(engines[kind], parse(query.split()), Options(k=COUNT))]
        assert scores == sorted(scores, reverse=True)


def test_only_the_best_are_reranked_whatever_the_page(engines: dict[str, Engine]) -> None:
    parsed = parse(["a", "dog"])
    first = search(engines["approximate"], parsed, Options(k=30, diverse=True))
    whole = search(engines["reranked"], parsed, Options(k=250))
    reranked = [hit.first_stage is not None for hit in whole]
    assert reranked == sorted(reranked, reverse=True)
    assert len({hit.path for hit in first}) == 30
    deep = search(engines["reranked"], parsed, Options(k=10, offset=200))
    assert [hit.first_stage for hit in deep] == [None] * 10


def test_diverse_hits_are_as_many_as_are_asked_for(engine: Engine) -> None:
    hits = search(engine, parse(["a", "dog"]), Options(k=COUNT, diverse=True))
    assert len(hits) == COUNT - COUNT // 5  # every fifth is near to another one
    assert len(search(engine, parse(["a", "dog"]), Options(k=90, diverse=True))) == 90


def test_the_least_relevance_ends_the_pages(engines: dict[str, Engine]) -> None:
    parsed = parse(["a", "dog", "on", "a", "beach"])
    everything = search(engines["judged"], parsed, Options(k=2 * COUNT))
    shares = [hit.relevance for hit in everything if hit.relevance is not None]
    least = shares[150]
    relevant = [hit for hit in everything if hit.relevance is not None and hit.relevance >= least]
    pages = [
        search(engines["judged"], parsed, Options(50, offset, min_relevance=least)) for offset in (0, 50, 100, 150)
    ]
    assert [hit for page in pages for hit in page] == relevant
    assert pages[-1].next_offset is None
    assert pages[-1].notes == ()
    after = search(engines["judged"], parsed, Options(50, 200, min_relevance=least))
    assert after == []
    assert after.notes[0].code == "nothing-relevant"
    assert after.notes == (f"no more pictures found with a relevance of {least:.0%} or more",)


def test_a_least_relevance_of_the_settings_that_cannot_be_kept_is_said(engines: dict[str, Engine]) -> None:
    told = search(engines["exact"], parse(["a", "dog"]), Options(usual_relevance=0.5))
    assert len(told) == 10
    assert told.notes == ("the relevance of these pictures is not known: none was left out for it",)
    assert (told.notes[0].code, told.notes[0].fields) == ("relevance-not-applied", {"min_relevance": 0.5})
    assert search(engines["judged"], parse(["a", "dog"]), Options(usual_relevance=0.5)).notes == ()
    assert search(engines["exact"], parse(["date:2020-01"]), Options(usual_relevance=0.5)).notes == ()
    with pytest.raises(QueryError, match="only where it is known"):
        search(engines["exact"], parse(["a", "dog"]), Options(min_relevance=0.5))


def test_reranked_pages_are_one_reranked_search(
    settings: Settings, small_reranker: Path, region_encoder: OnnxEncoder, photos: Path
) -> None:
    own = replace(settings, reranker=str(small_reranker), rerank_candidates=3)
    with open_library(own.library, settings=own, encoder=region_encoder) as library:
        library.index(photos)
        for query in ("a cat", "is there a cat?"):
            whole = library.search(query, 5, rerank=True)
            pages = [library.search(query, 2, offset=offset, rerank=True) for offset in (0, 2, 4)]
            assert [hit for page in pages for hit in page] == whole
            assert [page.next_offset for page in pages] == [2, 4, None]
            assert sum(hit.first_stage is not None for hit in whole) == 3


def test_a_page_sorts_its_own_hits(engine: Engine) -> None:
    by_score = search(engine, parse(["a", "dog"]), Options(k=20))
    sorted_pages = [search(engine, parse(["a", "dog", "sort:name"]), Options(k=10, offset=o)) for o in (0, 10)]
    for page, offset in zip(sorted_pages, (0, 10), strict=True):
        assert {hit.path for hit in page} == {hit.path for hit in by_score[offset : offset + 10]}
        names = [Path(hit.path).name for hit in page]
        assert names == sorted(names)


def test_a_page_of_another_state_of_the_library_can_be_told(
    settings: Settings, encoder: OnnxEncoder, photos: Path
) -> None:
    with open_library(settings.library, settings=settings, encoder=encoder) as library:
        library.index(photos)
        first, second = library.search("a cat", 2), library.search("a cat", 2, offset=2)
        assert first.generation == second.generation == library.status().generation
        library.remove(photos / "grass.png")
        third = library.search("a cat", 2, offset=4)
        assert third.generation == library.status().generation != first.generation


class Disturbed(OnnxEncoder):
    """While it encodes a query, something else happens."""

    happens: Callable[[], object] | None = None

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        if self.happens is not None:
            happens, self.happens = self.happens, None
            happens()
        return super().encode_texts(texts)


def test_a_page_of_two_states_belongs_to_none(settings: Settings, photos: Path) -> None:
    disturbed = Disturbed(EMBEDDED)
    with open_library(settings.library, settings=settings, encoder=disturbed) as library:
        library.index(photos)
        whole, last = library.search("a cat", 2), library.search("a cat", 100)[-1].path
        disturbed.happens = lambda: library.remove(last)
        page = library.search("a cat", 2)
        assert (page, page.generation) == (whole, None)
        assert library.search("a cat", 2).generation == library.status().generation


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"offset": -1}, "the offset must be at least 0, not -1"),
        ({"k": 0}, "k must be at least 1, not 0"),
        ({"k": -3}, "k must be at least 1, not -3"),
        ({"k": 2.5}, "k must be a whole number, not 2.5"),
        ({"offset": "10"}, "the offset must be a whole number, not '10'"),
        ({"offset": None}, "the offset must be a whole number, not None"),
    ],
)
def test_numbers_that_make_no_sense(numbers: dict[str, int], message: str) -> None:
    with pytest.raises(QueryError, match=message):
        Options(**numbers)  # type: ignore[arg-type]


def test_an_offset_far_beyond_all_hits(engine: Engine) -> None:
    for query in ("a dog", "date:2020-01", "kite"):
        page = search(engine, parse(query.split()), Options(offset=10**30))
        assert (page.hits, page.next_offset) == ((), None)
    assert Options(np.int64(3), np.int32(4)).end == 7  # type: ignore[arg-type]


def test_a_result_is_a_sequence_that_equals_lists() -> None:
    hits = [Hit(rank, 1 / rank, Photo(f"/{rank}.jpg", 1, 1, "jpeg", 1, 0)) for rank in (1, 2, 3)]
    result = SearchResult(tuple(hits), (Note("nothing was reranked"),), 3, 7)
    assert result == hits
    assert hits == result
    assert result == SearchResult(tuple(hits))
    assert result != hits[:2]
    assert result != "hits"
    assert (result[0], result[-1], result[1:]) == (hits[0], hits[2], hits[1:])
    assert (len(result), list(result), hits[1] in result) == (3, hits, True)
    assert (result + result, result + hits, hits + result) == (2 * hits, 2 * hits, 2 * hits)
    assert (sorted(result, key=lambda hit: -hit.rank), result.index(hits[1])) == (hits[::-1], 1)
    assert SearchResult() == []
    assert not SearchResult()
