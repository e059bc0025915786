"""The first stage of a search and what is made of it, against plain NumPy over what the store holds."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from samples import SAMPLES
from scores import score as score_of

from mmsearch.config import Settings
from mmsearch.encoders.factory import EMBEDDED
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.errors import QueryError
from mmsearch.library.library import Library
from mmsearch.library.opening import open_library
from mmsearch.query.model import Example, Query, Words
from mmsearch.search import querybank, retrieval
from mmsearch.types import Hit

Scores = NDArray[np.float64]
NAMES = ("chelsea.png", "camera.png", "grass.png", "motorcycle_left.png", "rocket.jpg", "coffee.png")


@pytest.fixture
def library(settings: Settings, encoder: OnnxEncoder, tmp_path: Path) -> Library:
    """Photos whose names say nothing."""
    (tmp_path / "shots").mkdir()
    for number, name in enumerate(NAMES):
        shutil.copy(SAMPLES / name, tmp_path / "shots" / f"{number}{Path(name).suffix}")
    library = open_library(settings.library, settings=settings, encoder=encoder)
    library.index(tmp_path / "shots")
    return library


def matrix(file: Path) -> Scores:
    """A matrix of a model folder, whose rows are int8 with a scale, and the diagonal by itself."""
    stored = np.load(file)
    rows = stored["row"] * stored["scale"].astype(np.float64)[:, None]
    for place in range(min(rows.shape)):
        rows[place, place] = stored["diagonal"][place]
    found: Scores = rows
    return found


class Oracle:
    """Vectors and hubness of a library's photos, in the order of ``names``."""

    def __init__(self, library: Library, encoder: OnnxEncoder) -> None:
        stored = library.store.model()
        assert stored is not None
        ids = library.store.searchable(stored)
        photos = library.store.photos(ids.tolist())
        order = np.argsort([photos[number][0].path for number in ids.tolist()])
        self.names = [Path(photos[number][0].path).name for number in ids[order].tolist()]
        self.vectors = library.store.vectors(ids[order], stored.dim).astype(np.float64)
        rows = np.load(EMBEDDED / "background.npy").astype(np.float64)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        self.hubness = np.array([np.sort(rows @ vector)[-10:].mean() for vector in self.vectors])
        self.bank, self.encoder = rows, encoder

    def cosines(self, text: str) -> Scores:
        found: Scores = self.vectors @ self.encoder.encode_texts([text])[0].astype(np.float64)
        return found

    def moved(self, text: str, vector: Scores | None = None) -> Scores:
        """The vector of a text, moved by the adapter, for more than four words by less."""
        vector = self.encoder.encode_texts([text])[0].astype(np.float64) if vector is None else vector
        part = {5: 0.5, 6: 0.25}.get(len(text.split()), float(len(text.split()) < 5))
        found: Scores = vector + part * (np.append(vector, 1) @ matrix(EMBEDDED / "text_adapter.npy"))
        return found

    def first(self, text: str) -> Scores:
        """Cosines of the moved text, less a tenth of the hubness for each word after the first, up to a half."""
        return self.vectors @ self.moved(text) - min(0.1 * (len(text.split()) - 1), 0.5) * self.hubness

    def standard(self, scores: Scores, typical: tuple[float, float] | None) -> tuple[float, float]:
        """Mean and spread of scores; with those of 50 typical ones beside them."""
        if typical is None:
            return float(scores.mean()), float(scores.std())
        squares = 50 * (typical[0] ** 2 + typical[1] ** 2) + (scores**2).sum()
        mean = (50 * typical[0] + scores.sum()) / (50 + len(scores))
        return float(mean), float(np.sqrt(squares / (50 + len(scores)) - mean**2))

    def typical(self) -> tuple[float, float]:
        mean, spread = json.loads((EMBEDDED / "calibration.json").read_text())["typical"]
        return mean, spread

    def assert_hits(self, hits: Sequence[Hit], scores: Scores, names: Sequence[str] | None = None) -> None:
        wanted = {name: score for name, score in zip(self.names, scores, strict=True) if names is None or name in names}
        assert [score_of(hit) for hit in hits] == sorted((score_of(hit) for hit in hits), reverse=True)
        assert {Path(hit.path).name: score_of(hit) for hit in hits} == pytest.approx(wanted, abs=2e-3)


@pytest.fixture
def oracle(library: Library, encoder: OnnxEncoder) -> Oracle:
    return Oracle(library, encoder)


@pytest.mark.parametrize(
    "text", ["animal", "two animals", "a red motorcycle", "a man who holds a big old camera on a tripod"]
)
def test_the_longer_a_text_the_more_hubness_is_taken_off(library: Library, oracle: Oracle, text: str) -> None:
    hits = library.search(text)
    oracle.assert_hits(hits, oracle.first(text))
    assert oracle.hubness.std() > 0.01  # so that another share would be seen


def test_the_encoder_is_asked_for_several_texts_together(library: Library, oracle: Oracle) -> None:
    together = library.search("a cat and green grass")
    assert library.search(["a cat", "green grass"]) == together
    assert library.search(["a cat.", "green grass!"]) == together
    oracle.assert_hits(together, oracle.first("a cat and green grass"))


def test_weights_move_the_text_towards_the_heavier_term(library: Library, oracle: Oracle) -> None:
    hits = library.search(Query((Words("a cat", 4), Words("green grass"))))
    encode = oracle.encoder.encode_texts
    mixed = encode(["a cat and green grass"])[0] + encode(["a cat"])[0] + 0.25 * encode(["green grass"])[0]
    moved = oracle.moved("a cat and green grass", mixed / np.linalg.norm(mixed))
    oracle.assert_hits(hits, oracle.vectors @ moved - 0.4 * oracle.hubness)


def test_arithmetic_adds_and_subtracts_vectors(library: Library, oracle: Oracle) -> None:
    query = Query((Words("a cat", 2), Words("green grass", exclude=True)), arithmetic=True)
    mixed = 2 * oracle.encoder.encode_texts(["a cat"])[0] - oracle.encoder.encode_texts(["green grass"])[0]
    oracle.assert_hits(library.search(query), oracle.vectors @ (mixed / np.linalg.norm(mixed)))


@pytest.mark.parametrize("text", ["a cat", "a motorcycle", "a cup of coffee", "a photographer"])
def test_what_matches_an_excluded_term_is_left_out(library: Library, oracle: Oracle, text: str) -> None:
    hits = library.search(Query((Words("a photo of something"), Words(text, exclude=True))))
    away = oracle.cosines(text)
    form = matrix(EMBEDDED / "presence.npy")
    asked = np.append(oracle.encoder.encode_texts([text])[0], 1)
    odds = [float(asked @ form @ np.append(vector, 1)) for vector in oracle.vectors]
    stays = [name for name, one in zip(oracle.names, odds, strict=True) if one <= 0]
    assert 1 <= len(oracle.names) - len(stays) <= 2
    assert oracle.names[int(np.argmax(away))] not in stays
    oracle.assert_hits(hits, oracle.first("a photo of something") - 0.3 * away, stays)
    listed = library.search(Query((Words(text, exclude=True),)))  # nothing ranks them: the newest first
    assert sorted(Path(hit.path).name for hit in listed) == stays


def test_without_a_classifier_what_is_well_above_the_mean_is_left_out(library: Library, oracle: Oracle) -> None:
    away = oracle.cosines("a cat")
    for term, spreads in ((Words("a cat", exclude=True), 0.75), (Words("a cat", 2, exclude=True), 0.375)):
        parsed = retrieval.parsed_query([term], lambda _: oracle.encoder.encode_texts(["a cat"])[0])
        (excluded,) = parsed.unwanted
        sample = oracle.vectors.astype(np.float32)
        wanted = away > away.mean() + spreads * away.std()
        np.testing.assert_array_equal(excluded.matches(sample, sample), wanted)
        assert 0 < wanted.sum() < len(wanted)


def test_plain_words_can_say_what_should_not_be_there(library: Library) -> None:
    every = {Path(hit.path).name for hit in library.search("a photo")}
    for text, terms in (
        ("a photo without a cat", ["a photo", "-cat"]),
        ("no cat", ["-cat"]),
        ("a photo, no cat or motorcycle", ["a photo", "-cat", "-motorcycle"]),
    ):
        found, wanted = library.search(text), library.search(terms)
        assert [hit.path for hit in found] == [hit.path for hit in wanted]
        assert {Path(hit.path).name for hit in found} < every
        (note,) = [note for note in found.notes if note.code == "negation"]
        assert f'words:"{text}"' in note
        assert note.fields["left_out"] == [term[1:] for term in terms if term[0] == "-"]
    for asked in ("is there no cat?", Query((Words("no cat", exact=True),))):
        assert not [note for note in library.search(asked).notes if note.code == "negation"]
    arithmetic = library.search(Query((Words("a photo without a cat"),), arithmetic=True))
    assert {Path(hit.path).name for hit in arithmetic} == every


def test_words_leave_out_what_has_a_tag_of_the_same_meaning(library: Library, tmp_path: Path, tag_cache: Path) -> None:
    shutil.copytree(tag_cache, library.settings.cache, dirs_exist_ok=True)
    (tmp_path / "words.txt").write_text("person\ta motorcycle\n")  # a tag that is wrong, which no vector tells
    library.tag(vocabulary=tmp_path / "words.txt", threshold=0.2)
    tagged = {Path(hit.path).name for hit in library.search(Query(), where="tag:person")}
    assert "3.png" in tagged
    kept = {Path(hit.path).name for hit in library.search(["-people"])}
    assert kept
    assert not kept & tagged


def test_what_is_written_about_a_photo_is_left_out_too(library: Library, tmp_path: Path) -> None:
    (tmp_path / "shots" / "2.txt").write_text("Smith before the match")
    library.index()
    hits = library.search(["something green", "-smith"])
    assert sorted(Path(hit.path).name for hit in hits) == ["0.png", "1.png", "3.png", "4.jpg", "5.png"]


def test_a_picture_and_a_text_are_added_in_spreads_of_their_scores(
    library: Library, oracle: Oracle, tmp_path: Path
) -> None:
    path = tmp_path / "shots" / "0.png"
    hits = library.search([path, "a red motorcycle"])
    text, picture = oracle.first("a red motorcycle"), oracle.vectors @ oracle.vectors[0]
    mean, spread = oracle.standard(text, oracle.typical())
    total = (text - mean) / spread / 1.5 + (picture - picture.mean()) / picture.std() * 0.5 / 1.5
    names = [name for name in oracle.names if name != "0.png"]
    oracle.assert_hits(hits, mean + spread * total, names)


def test_like_and_unlike(library: Library, oracle: Oracle, tmp_path: Path) -> None:
    shots = tmp_path / "shots"
    shutil.copy(SAMPLES / "motorcycle_right.png", shots / "6.png")
    library.index()
    assert library.search("a photo", like=[shots / "3.png"]) == library.search(["a photo", shots / "3.png"])
    oracle = Oracle(library, oracle.encoder)
    hits = library.search("a photo", unlike=[shots / "3.png", shots / "0.png"])
    away = oracle.vectors @ (oracle.vectors[3] + oracle.vectors[0]) / 2
    oracle.assert_hits(hits, oracle.first("a photo") - 0.3 * away, ["1.png", "2.png", "4.jpg", "5.png", "6.png"])
    assert [hit.path for hit in library.search(Query(), like=[shots / "3.png"], k=1)] == [str(shots / "6.png")]


def test_rare_words_that_are_all_there_come_first(library: Library, tmp_path: Path) -> None:
    for number in range(30):  # what is in few photos is rare
        Image.new("RGB", (64, 64), (8 * number, 100, 50)).save(tmp_path / "shots" / f"plain{number}.png")
    (tmp_path / "shots" / "4.txt").write_text("invoice 4711 for the shed")
    library.index()
    for query in ("invoice 4711", "INVOICE 4711", "plain17"):
        best = library.search(query, k=1)[0]
        assert Path(best.path).name == ("plain17.png" if query == "plain17" else "4.jpg")
        assert best.relevance == 1
        assert best.reasons[0].startswith("name: " if query == "plain17" else "description: ")
    plain = library.search("an orange cat")
    assert Path(plain[0].path).name == "0.png"
    assert plain[0].reasons == ()


def test_exact_words_must_be_there(library: Library, tmp_path: Path) -> None:
    (tmp_path / "shots" / "1.txt").write_text("the fast machine")
    (tmp_path / "shots" / "2.txt").write_text("a machine that is fast")
    library.index()
    assert [Path(hit.path).name for hit in library.search('words:"fast machine"')] == ["1.png"]
    hits = library.search('green grass words:"machine"')
    assert [Path(hit.path).name for hit in hits] == ["2.png", "1.png"]


def test_relevance_is_the_calibrated_one(library: Library, oracle: Oracle) -> None:
    text = "a red motorcycle"
    facts = json.loads((EMBEDDED / "calibration.json").read_text())["first"]
    near = np.sort(oracle.bank @ oracle.encoder.encode_texts([text])[0])[-10:].mean()
    plain = oracle.cosines(text) - 0.2 * oracle.hubness
    lift = plain.max() - oracle.first(text).max()  # the best picture is as likely as the best by the text itself
    assert abs(lift) > 0.01
    other = facts["background"] * near + facts["beta"] * 0.2 + facts["offset"]  # 0.2: a text of three words
    wanted = 1 / (1 + np.exp(-(facts["score"] * (oracle.first(text) + lift) + other)))
    hits = library.search(text)
    told = {Path(hit.path).name: hit.relevance for hit in hits}
    assert told == pytest.approx(dict(zip(oracle.names, wanted, strict=True)), abs=0.01)
    best, second = hits[0].relevance, hits[1].relevance
    assert best is not None
    assert second is not None
    assert best > second
    assert library.search(text, min_relevance=(best + second) / 2) == hits[:1]
    assert library.search(text, min_relevance=1) == []
    usual = replace(library.settings, min_relevance=(best + second) / 2)
    with open_library(library.folder, settings=usual, encoder=oracle.encoder) as other:
        assert other.search(text) == hits[:1]
        assert other.search(text, min_relevance=0) == hits
        assert len(other.search(Path(hits[0].path))) == len(NAMES) - 1  # where relevance is not known, all are shown


def test_relevance_that_nobody_knows_cannot_be_asked_for(
    library: Library, settings: Settings, region_encoder: OnnxEncoder, tmp_path: Path
) -> None:
    with pytest.raises(QueryError, match=r"between 0 and 1, not 1\.5"):
        library.search("a cat", min_relevance=1.5)
    picture = Example(str(tmp_path / "shots" / "0.png"))
    for query in (Query((picture,)), Query((Words("a"), Words("b")), arithmetic=True)):
        assert {hit.relevance for hit in library.search(query)} == {None}
        with pytest.raises(QueryError, match="only where it is known"):
            library.search(query, min_relevance=0.5)
    with pytest.raises(QueryError, match="without something to look for"):
        library.search("type:png", min_relevance=0.5)


def test_near_duplicates_become_one_hit(library: Library, tmp_path: Path) -> None:
    shots = tmp_path / "shots"
    with Image.open(shots / "0.png") as cat:
        cat.convert("RGB").save(shots / "again.jpg", quality=60)
        cat.resize((cat.width // 2, cat.height // 2)).save(shots / "small.png")
    library.index()
    three = {str(shots / name) for name in ("0.png", "again.jpg", "small.png")}
    assert {hit.path for hit in library.search("a cat", k=3)} == three
    assert {hit.similar for hit in library.search("a cat", k=3)} == {()}
    hits = library.search("a cat", k=3, diverse=True)
    assert {hits[0].path, *hits[0].similar} == three
    assert len(hits) == 3
    assert not three & {path for hit in hits[1:] for path in (hit.path, *hit.similar)}


def test_conditions_alone_list_the_newest_first(library: Library, tmp_path: Path) -> None:
    hits = library.search("type:png sort:name")
    assert [Path(hit.path).name for hit in hits] == ["0.png", "1.png", "2.png", "3.png", "5.png"]
    assert [Path(hit.path).name for hit in library.search("a rocket", where="type:jpeg")] == ["4.jpg"]
    assert [Path(hit.path).name for hit in library.search(Query(), where="type:jpeg width:<9")] == []


def test_the_hubness_is_in_the_index_on_disk(library: Library, encoder: OnnxEncoder) -> None:
    wanted = library.search("a cat on a sofa")
    with open_library(library.folder, settings=library.settings, encoder=encoder) as again:
        assert again.search("a cat on a sofa") == wanted


def test_a_model_without_a_querybank_of_its_own(
    settings: Settings, region_encoder: OnnxEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = querybank.texts()[::10]  # all of them take seconds
    monkeypatch.setattr(querybank, "texts", lambda: some)
    folder = tmp_path / "model"
    shutil.copytree(region_encoder.folder, folder)
    (folder / "background.npy").unlink()
    encoder = OnnxEncoder(folder)
    (tmp_path / "shots").mkdir()
    shutil.copy(SAMPLES / "chelsea.png", tmp_path / "shots")
    with open_library(tmp_path / "library", settings=settings, encoder=encoder) as library:
        library.index(tmp_path / "shots")
        hit = library.search("an orange cat that looks at you")[0]
        stored = library.store.model()
        assert stored is not None
        vector = library.store.vectors(library.store.searchable(stored), stored.dim)[0]
    texts = encoder.encode_texts(some) @ vector
    hubness = np.sort(texts)[-10:].mean()
    cosine = float(encoder.encode_texts(["an orange cat that looks at you"])[0] @ vector)
    assert score_of(hit) == pytest.approx(cosine - 0.5 * hubness, abs=2e-3)


def test_an_index_knows_its_bank() -> None:
    """Rows of an index hold hubness: another bank must have another version, or old rows would stay."""
    texts = hashlib.sha256("\n".join(querybank.texts()).encode()).hexdigest()[:16]
    file = hashlib.sha256((EMBEDDED / querybank.FILE).read_bytes()).hexdigest()[:16]
    known = {"2": ("3a2e5819956ae5b1", "77b2f24691c4faf1")}
    assert {querybank.VERSION: (texts, file)} == known, "raise querybank.VERSION, then write down the new digests"
