"""What a library can do it can do with every model: the same tests for the embedded model and an open_clip one.

The open_clip model is small and has random weights: what it finds is chance, and what the tokens tell is not.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from forked_runs import ForkedRuns
from small_models import small_clip

from mmsearch.config import Settings
from mmsearch.encoders.factory import EMBEDDED
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.library.library import Library
from mmsearch.library.opening import open_library
from mmsearch.rerank.resolve import for_encoder
from mmsearch.types import Progress

MODELS = ("embedded", "open_clip")


@pytest.fixture(scope="session", name="small_clip")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The graphs of a small open_clip model with random weights."""
    return small_clip(tmp_path_factory)[1]


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest, small_clip: Path) -> str:
    """The name of each model in turn."""
    return "embedded" if request.param == "embedded" else f"local-dir:{small_clip}"


@pytest.fixture
def own_settings(settings: Settings) -> Settings:
    return replace(settings, reranker="auto", batch=2)


@pytest.fixture
def searched(own_settings: Settings, model: str, photos: Path) -> Iterator[Library]:
    """A library of five photos, of each model."""
    with open_library(own_settings.library, settings=replace(own_settings, model=model)) as library:
        library.index(photos)
        yield library


@pytest.fixture
def foreign(own_settings: Settings, small_clip: Path, photos: Path) -> Iterator[Library]:
    """A library of the open_clip model."""
    own = replace(own_settings, model=f"local-dir:{small_clip}")
    with open_library(own.library, settings=own) as library:
        library.index(photos)
        yield library


def names(hits: object) -> list[str]:
    return [Path(hit.path).name for hit in hits]  # type: ignore[attr-defined]


def by_itself(photos: Path, name: str) -> str:
    """The caption of one photo by the embedded model, without a library."""
    encoder = OnnxEncoder(EMBEDDED)
    reranker = for_encoder(encoder)
    from mmsearch.rerank.inspect import Looker

    return Looker(encoder, reranker).caption(str(photos / name))[0].text


def test_photos_have_region_tokens(searched: Library, photos: Path) -> None:
    assert searched.status().regions == 5
    again = searched.index(photos)
    assert (again.unchanged, again.regions) == (5, 0)


def test_captions(searched: Library, photos: Path) -> None:
    assert searched.caption(photos / "cat.png")[0].text == by_itself(photos, "cat.png")
    assert searched.index(captions=True).captions == 5
    assert searched.status().captions == 5
    photo = searched.get(photos / "cat.png")
    assert photo is not None
    assert photo.caption == by_itself(photos, "cat.png")


def test_captions_while_indexing(own_settings: Settings, model: str, photos: Path) -> None:
    with open_library(own_settings.library, settings=replace(own_settings, model=model)) as library:
        report = library.index(photos, captions=True)
        assert (report.added, report.captions) == (5, 5)


def test_answers(searched: Library, photos: Path) -> None:
    assert searched.ask(photos / "cat.png", "is there a cat?")[0].text == "yes"
    assert searched.ask(photos / "trips" / "rocket.jpg", "is there a cat?")[0].text == "no"


def test_explanations_and_heat(searched: Library, photos: Path) -> None:
    explained = searched.explain(photos / "cat.png", "a cat")
    assert [word.word for word in explained.words] == ["cat"]
    assert np.array(explained.overall).shape == (7, 7)
    assert explained.score > searched.explain(photos / "grass.png", "a cat").score
    assert searched.looker().draw(explained).size[0] > 0
    assert searched.explain(photos / "cat.png", "a cat", "attention").by == "attention"


def test_what_is_stored_serves_where_the_file_is_gone(searched: Library, photos: Path) -> None:
    caption = searched.caption(photos / "cat.png")[0].text
    (photos / "cat.png").rename(photos.parent / "away.png")
    assert searched.caption(photos / "cat.png")[0].text == caption


def test_reranking(searched: Library) -> None:
    before = {hit.path: hit.score or 0.0 for hit in searched.search("a cat on a sofa", rerank=False).hits}
    hits = searched.search("a cat on a sofa", rerank=True).hits
    assert all(hit.first_stage is not None for hit in hits)
    gained = {Path(hit.path).name: (hit.score or 0.0) - before[hit.path] for hit in hits}
    assert max(gained, key=lambda name: gained[name]) == "cat.png"
    scores = [hit.score or 0.0 for hit in hits]
    assert scores == sorted(scores, reverse=True)


def test_questions_are_answered(searched: Library) -> None:
    hits = searched.search("is there a cat?").hits
    answers = {Path(hit.path).name: hit.answer for hit in hits}
    assert (answers["cat.png"], answers["rocket.jpg"]) == ("yes", "no")
    assert all(0 < (hit.answer_confidence or 0) <= 1 for hit in hits)


def test_what_is_excluded_is_left_out(searched: Library) -> None:
    left = names(searched.search("-cat").hits)
    assert "cat.png" not in left
    assert {"motorcycle.png", "rocket.jpg"} <= set(left)
    found = names(searched.search("a photo -cat").hits)
    assert "cat.png" not in found
    assert {"motorcycle.png", "rocket.jpg"} <= set(found)


def test_tags(searched: Library, tag_cache: Path) -> None:
    shutil.copytree(tag_cache, searched.settings.cache, dirs_exist_ok=True)
    assert searched.tag().tagged == 5


def test_all_is_well(searched: Library) -> None:
    assert searched.verify(deep=True) == []
    assert searched.repair().mended == ()


def test_damaged_tokens_are_found_and_made_anew(searched: Library, photos: Path) -> None:
    searched.close()
    with sqlite3.connect(searched.folder / "library.sqlite") as database:
        database.execute("UPDATE regions SET data = zeroblob(3) WHERE rowid = (SELECT min(rowid) FROM regions)")
    with open_library(searched.folder, settings=searched.settings) as library:
        assert [one.kind for one in library.verify()] == ["wrong tokens"]
        library.repair()
        assert library.verify() == []
        assert library.index(photos).regions == 1
        assert library.status().regions == 5


def test_ctrl_c_among_the_tokens_loses_a_batch_at_most(own_settings: Settings, small_clip: Path, photos: Path) -> None:
    def interrupt(step: Progress) -> None:
        if step.step == "regions":
            raise KeyboardInterrupt

    own = replace(own_settings, model=f"local-dir:{small_clip}")
    with open_library(own.library, settings=own) as library:
        with pytest.raises(KeyboardInterrupt):
            library.index(photos, progress=interrupt)
        assert library.status().regions == 2
        assert library.verify(deep=True) == []
        assert len(library.search("a cat", rerank=True)) == 5  # those without tokens stay among the others
        assert names(library.search("-cat").hits) != []
        report = library.index()
        assert (report.regions, report.encoded) == (3, 0)
        assert library.status().regions == 5


def test_models_take_turns(foreign: Library, small_clip: Path, photos: Path) -> None:
    was = names(foreign.search("a cat").hits)
    report = foreign.index(model="embedded")
    assert report.encoded == 0  # its vectors were made with the tokens
    active = foreign.store.model()
    assert active is not None
    assert (active.name, foreign.status().regions) == ("embedded", 5)
    assert names(foreign.search("a cat on a sofa").hits)[0] == "cat.png"
    assert foreign.activate(f"local-dir:{small_clip}").dim == 16
    assert names(foreign.search("a cat").hits) == was
    assert foreign.search("is there a cat?").hits[0].answer is not None
    assert foreign.index(photos).regions == 0


def test_tokens_of_the_embedded_model_serve_the_one_after_it(
    own_settings: Settings, small_clip: Path, photos: Path
) -> None:
    with open_library(own_settings.library, settings=replace(own_settings, model="embedded")) as library:
        library.index(photos)
        report = library.index(model=f"local-dir:{small_clip}")
        assert (report.encoded, report.regions) == (5, 0)
        assert library.status().regions == 5
        assert library.prune() == 0  # what gives the tokens is needed
        assert library.ask(photos / "cat.png", "is there a cat?")[0].text == "yes"
        assert library.status().regions == 5


def test_an_index_run_without_tokens(own_settings: Settings, small_clip: Path, photos: Path) -> None:
    own = replace(own_settings, model=f"local-dir:{small_clip}", regions=False)
    with open_library(own.library, settings=own) as library:
        assert library.index(photos).regions == 0
        assert library.status().regions == 0
        assert [kept.model.name for kept in library.kept_models()] == [own.model]
        (note,) = library.search("a cat on a sofa", rerank=True).notes
        assert note.code == "no-region-tokens"
        assert library.search("is there a cat?").hits[0].answer is None
        assert library.caption(photos / "cat.png")[0].text == by_itself(photos, "cat.png")  # from its file


def test_a_foreign_first_stage_keeps_its_order_unless_asked(foreign: Library) -> None:
    for query in ("a cat on a sofa", "is there a cat?", "is there a rocket?"):
        plain, usual = foreign.search(query, rerank=False).hits, foreign.search(query).hits
        assert [(hit.path, hit.score) for hit in usual] == [(hit.path, hit.score) for hit in plain]
    assert all(hit.answer is None for hit in foreign.search("a cat on a sofa").hits)


def test_the_report_says_what_the_tokens_cost(own_settings: Settings, small_clip: Path, photos: Path) -> None:
    own = replace(own_settings, model=f"local-dir:{small_clip}")
    with open_library(own.library, settings=own) as library:
        report = library.index(photos)
    assert (report.added, report.encoded, report.regions) == (5, 5, 5)
    assert report.shares["tokens"] > 0
    assert report.pace is not None
    assert report.pace * report.seconds == pytest.approx(5)  # a photo counts once


def test_a_library_of_an_earlier_version_gets_its_tokens(foreign: Library, photos: Path) -> None:
    """That has an open_clip model's own tokens, which nothing reads."""
    folder, settings = foreign.folder, foreign.settings
    foreign.close()
    with sqlite3.connect(folder / "library.sqlite") as database:
        database.execute("PRAGMA foreign_keys = ON")
        database.execute("DELETE FROM models WHERE NOT active")
        database.execute(
            "INSERT INTO regions (item_id, model_id, fingerprint, data) "
            "SELECT item_id, model_id, 'of its own', zeroblob(136) FROM embeddings"
        )
    with open_library(folder, settings=settings) as library:
        assert library.verify() == []
        assert library.index(photos).regions == 5
        assert library.search("is there a cat?").hits[0].answer is not None


def test_a_picture_that_goes_takes_its_tokens_with_it(foreign: Library, photos: Path) -> None:
    os.remove(photos / "cat.png")
    foreign.remove(photos / "cat.png")
    foreign.index(photos)
    with sqlite3.connect(foreign.folder / "library.sqlite") as database:
        rows = [database.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("regions", "embeddings")]
    assert rows == [4, 8]
    assert foreign.verify(deep=True) == []


def test_relevance(searched: Library) -> None:
    hits = searched.search("a cat on a sofa").hits
    shares = [hit.relevance for hit in hits if hit.relevance is not None]
    assert len(shares) == len(hits)
    assert all(0 <= share < 1 for share in shares)
    plain = [hit.relevance for hit in hits if not hit.reasons]  # words that are written count for the order alone
    assert plain == sorted(plain, key=lambda share: -(share or 0))
    assert searched.search("a cat on a sofa", min_relevance=1).hits == ()


@pytest.mark.slow
def test_a_kill_among_the_tokens_loses_a_batch_at_most(
    forked: ForkedRuns, own_settings: Settings, small_clip: Path, photos: Path
) -> None:
    own = replace(own_settings, model=f"local-dir:{small_clip}")
    command = ["index", str(photos), "--library", str(own.library), "--model", own.model, "--json"]
    with open_library(own.library, settings=replace(own, regions=False)) as library:
        library.index(photos)
    left = []
    for count in range(1, 30):
        environment = {**os.environ, "MMSEARCH_BATCH": "2", "MMSEARCH_CACHE": str(own.cache)}
        done = forked("after a commit", count, command, environment)
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        with open_library(own.library, settings=own) as library:
            left.append(library.status().regions)
            assert library.verify(deep=True) == []
        if left[-1] == 5:
            break
    assert left[-1] == 5
    assert set(left) & {2, 4}  # one of them died between two batches of tokens
