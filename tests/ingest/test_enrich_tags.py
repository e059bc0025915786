"""Tags: probabilities from the sentences that come nearest, stored once a content, and found again."""

from __future__ import annotations

import math
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmsearch.config import Settings
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.errors import NoModelError, SourceError
from mmsearch.ingest.enrich import tags as tagging
from mmsearch.ingest.enrich.runner import enrich
from mmsearch.ingest.enrich.tags import LOGISTIC, NEAREST, OWN, RARE, VOTE, Tagger, Tags, common_texts
from mmsearch.ingest.options import Options
from mmsearch.language.prompts import EACH, scenes
from mmsearch.language.vocabulary import Tag, Vocabulary, builtin, parse
from mmsearch.library.library import Library
from mmsearch.library.opening import open_library
from mmsearch.media.decode import decode
from mmsearch.query.model import Condition, Tagged
from mmsearch.store.types import StoredModel
from mmsearch.types import IndexReport, Progress, Vectors


def never(texts: Sequence[str]) -> Vectors:
    raise AssertionError(f"{len(texts)} texts were encoded")


@pytest.fixture
def tagged(settings: Settings, encoder: OnnxEncoder, tag_cache: Path) -> Iterator[Library]:
    settings = replace(settings, cache=tag_cache)
    with open_library(settings.library, settings=settings, encoder=encoder) as library:
        yield library


@pytest.fixture(scope="module")
def tagger(encoder: OnnxEncoder, tag_cache: Path) -> Tagger:
    return Tagger(builtin(), encoder.card.fingerprint, never, tag_cache)


def vectors_of(encoder: OnnxEncoder, files: Sequence[Path]) -> Vectors:
    pictures = []
    for path in files:
        with path.open("rb") as file:
            pictures.append(decode(file, path.name, encoder.card.preprocess).pixels)
    return encoder.encode_images(np.stack(pictures))


def stored(library: Library) -> StoredModel:
    model = library.store.model()
    assert model is not None
    return model


def tags_of(library: Library) -> dict[str, tuple[str, ...]]:
    """The stored tags of each file, the likeliest first."""
    ids = library.store.searchable(stored(library)).tolist()
    return {photo.path: photo.tags for photos in library.store.photos(ids).values() for photo in photos}


def rows_of(texts: Sequence[str], encoder: OnnxEncoder, tag_cache: Path) -> dict[str, Vectors]:
    """Text -> its vector; those of the sentences come from the cache, where encoding them all took seconds."""
    common = common_texts()
    rows = dict(zip(common, tagging.cached(common, encoder.card.fingerprint, never, tag_cache), strict=True))
    return {text: rows[text] if text in rows else encoder.encode_texts([text])[0] for text in texts}


def by_hand(vector: Vectors, vocabulary: Vocabulary, encoder: OnnxEncoder, tag_cache: Path) -> list[float]:
    """The probabilities of the tags for one picture, one sentence after the other."""
    texts = list(dict.fromkeys([*common_texts(), *(text for tag in vocabulary.tags for text in tag.texts)]))
    cosines = {text: float(row @ vector) for text, row in rows_of(texts, encoder, tag_cache).items()}
    usual = [cosines[text] for text in common_texts()]
    mean = sum(usual) / len(usual)
    spread = math.sqrt(sum((value - mean) ** 2 for value in usual) / len(usual))
    z = {text: (value - mean) / spread for text, value in cosines.items()}
    nearest = sorted(texts, key=lambda text: -z[text])[:NEAREST]
    above = {tag.name: {tag.name, *tag.parents} for tag in vocabulary.tags}
    for _ in above:  # as often as the longest way up can be
        above = {name: set().union(*(above[other] for other in others)) for name, others in above.items()}
    speak: dict[str, set[str]] = {}
    weight: dict[str, float] = {}
    known = builtin().mentioned(texts)
    for text, said, mentioned in zip(texts, known, vocabulary.mentioned(texts), strict=True):
        shipped = {builtin().names[place] for place in np.flatnonzero(said)}
        ours = {tag.name for tag in vocabulary.tags if text in tag.texts or tag.name in shipped}
        ours |= {vocabulary.names[place] for place in np.flatnonzero(mentioned)}
        speak[text] = set().union(*(above[name] for name in ours))
        weight[text] = math.prod([factor for name, factor in VOTE.items() if name in shipped])
    for tag in vocabulary.tags:
        if tag.name not in builtin().names:
            for text in tag.texts:
                weight[text] = max(weight[text], OWN / sum(tag.name in tags for tags in speak.values()))
    total = sum(weight[text] * math.exp(z[text]) for text in nearest)
    found = {}
    for tag in vocabulary.tags:
        share = sum(weight[text] * math.exp(z[text]) for text in nearest if tag.name in speak[text]) / total
        odds = math.log((share + RARE) / (1 - share + RARE))
        best = max(z[text] for text in tag.texts)
        found[tag.name] = 1 / (1 + math.exp(-(LOGISTIC[0] * odds + LOGISTIC[1] * best + LOGISTIC[2])))
    return [max(found[other] for other, higher in above.items() if name in higher) for name in vocabulary.names]


def test_probabilities_are_those_worked_out_by_hand(encoder: OnnxEncoder, tag_cache: Path, photos: Path) -> None:
    vocabulary = parse(
        ["machine", "motorcycle\ta motorcycle|a red motorbike\tmachine", "person", "café racer\t\tmotorcycle"], "words"
    )
    tagger = Tagger(vocabulary, encoder.card.fingerprint, encoder.encode_texts, tag_cache)
    vectors = vectors_of(encoder, [photos / "trips/motorcycle.png", photos / "cat.png"])
    for row, vector in zip(tagger.probabilities(vectors), vectors, strict=True):
        assert row.tolist() == pytest.approx(by_hand(vector, vocabulary, encoder, tag_cache), abs=1e-4)


def test_tags_of_photos(tagger: Tagger, encoder: OnnxEncoder, photos: Path) -> None:
    files = [photos / name for name in ("trips/motorcycle.png", "cameraman.png", "grass.png")]
    motorcycle, cameraman, grass = tagger.tags(vectors_of(encoder, files))
    assert {"motorcycle", "vehicle"} <= set(motorcycle)
    assert {"person", "camera"} <= set(cameraman)
    assert {"outdoors", "plant"} <= set(grass)
    for tags in (motorcycle, cameraman, grass):
        assert list(tags.values()) == sorted(tags.values(), reverse=True)
        assert min(tags.values()) >= tagger.threshold
        assert not {"snow", "boat", "horse"} & set(tags)


def test_a_tag_is_as_likely_as_what_it_is_right_with(tagger: Tagger, encoder: OnnxEncoder, photos: Path) -> None:
    [row] = tagger.probabilities(vectors_of(encoder, [photos / "trips/motorcycle.png"]))
    for lower, upper in np.argwhere(tagger.vocabulary.implied):
        assert row[upper] >= row[lower]
    assert row.min() > 0
    assert row.max() < 1


def narrowed(vectors: Vectors) -> Vectors:
    """One dimension more, the same for all: a cosine becomes 0.2 of what it was, and 0.8."""
    more = np.full((len(vectors), 1), math.sqrt(0.8), np.float32)
    return np.concatenate([vectors * np.float32(math.sqrt(0.2)), more], axis=1)


def test_the_scale_of_a_models_cosines_does_not_matter(
    tagger: Tagger, encoder: OnnxEncoder, tag_cache: Path, photos: Path, tmp_path: Path
) -> None:
    rows = rows_of(common_texts(), encoder, tag_cache)

    def encode(texts: Sequence[str]) -> Vectors:
        return narrowed(np.stack([rows[text] for text in texts]))

    other = Tagger(builtin(), "narrowed", encode, tmp_path)
    vectors = vectors_of(encoder, [photos / "trips/motorcycle.png", photos / "cat.png"])
    np.testing.assert_allclose(other.probabilities(narrowed(vectors)), tagger.probabilities(vectors), atol=2e-3, rtol=0)
    assert other.fingerprint != tagger.fingerprint


def test_a_persons_own_words_know_what_the_words_that_ship_know(
    encoder: OnnxEncoder, tag_cache: Path, photos: Path
) -> None:
    """No sentence that speaks of a man says "person"."""
    words = Vocabulary((Tag("Person", ("somebody",)),))
    alone = Tagger(words, encoder.card.fingerprint, encoder.encode_texts, tag_cache)
    vectors = vectors_of(encoder, [photos / "cameraman.png", photos / "grass.png"])
    assert [list(tags) for tags in alone.tags(vectors)] == [["Person"], []]


def test_texts_are_encoded_once_for_a_model(encoder: OnnxEncoder, tmp_path: Path) -> None:
    asked: list[str] = []

    def encode(texts: Sequence[str]) -> Vectors:
        asked.extend(texts)
        return encoder.encode_texts(texts)

    first = tagging.cached(["a cat", "a dog"], "model", encode, tmp_path)
    np.testing.assert_array_equal(tagging.cached(["a cat", "a dog"], "model", never, tmp_path), first)
    assert asked == ["a cat", "a dog"]
    tagging.cached(["a cat", "a dog"], "other model", encode, tmp_path)
    assert len(asked) == 4
    [*files] = (tmp_path / "tags").iterdir()
    assert len(files) == 2
    for file in files:
        file.write_bytes(b"damaged")
    np.testing.assert_array_equal(tagging.cached(["a cat", "a dog"], "model", encode, tmp_path), first)
    assert len(asked) == 6


def test_encoding_many_texts_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "mmsearch")
    texts = [f"text {number}" for number in range(1257)]

    def encode(some: Sequence[str]) -> Vectors:
        return np.array([[len(text)] for text in some], np.float32)

    for _ in range(2):
        found = tagging.cached(texts, "model", encode, tmp_path)
        assert found.tolist() == [[len(text)] for text in texts]
    assert caplog.messages == ["encoding 1,257 texts, once for this model and vocabulary"]


def test_a_cache_that_cannot_be_written_is_done_without(
    encoder: OnnxEncoder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    found = tagging.cached(["a cat"], "model", encoder.encode_texts, tmp_path / "file")
    np.testing.assert_array_equal(found, encoder.encode_texts(["a cat"]))
    [line] = caplog.messages
    assert line.endswith("cannot be written: Not a directory; the vocabulary will be encoded again next time")


def test_stored_tags_are_those_of_the_stored_vectors(tagged: Library, tagger: Tagger, photos: Path) -> None:
    shutil.copy(photos / "trips/motorcycle.png", photos / "copy.png")
    tagged.index(photos)
    generation = tagged.status().generation
    shutil.rmtree(photos)  # no picture is opened
    seen: list[Progress] = []
    report = tagged.tag(progress=seen.append)
    assert report.tagged == 5  # contents, not files
    assert [(step.done, step.total, step.step) for step in seen] == [(n, 5, "tags") for n in range(1, 6)]
    ids = tagged.store.searchable(stored(tagged))
    files = tagged.store.photos(ids.tolist())
    rows = tagger.tags(tagged.store.vectors(ids, stored(tagged).dim))
    wanted = {photo.path: tuple(row) for number, row in zip(ids.tolist(), rows, strict=True) for photo in files[number]}
    assert tags_of(tagged) == wanted
    counts = Counter(tag for tags in wanted.values() for tag in tags)
    assert report.tags == dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    assert list(report.tags.items()) == sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    assert report.tags["motorcycle"] == 2
    assert tagged.status().generation == generation  # what can be found by meaning did not change
    assert tagged.tag().tagged == 0


def test_tags_are_conditions_and_words(tagged: Library, photos: Path) -> None:
    tagged.index(photos)
    tagged.tag()
    model = stored(tagged)
    found = tagged.store.searchable(model, conditions=[Condition(Tagged("Vehicle"))])
    assert tagged.store.photos(found.tolist())[int(found[0])][0].path == str(photos / "trips/motorcycle.png")
    assert len(found) == 1
    [hit] = tagged.store.find_words("vehicles", model)
    assert (hit.number, hit.columns) == (int(found[0]), ("tags",))
    tagged.clear_tags()
    assert len(tagged.store.searchable(model, conditions=[Condition(Tagged("vehicle"))])) == 0
    assert tagged.store.find_words("vehicles", model) == []


def test_an_interrupted_run_goes_on(tagged: Library, tagger: Tagger, photos: Path) -> None:
    tagged.index(photos)

    def interrupt(step: Progress) -> None:
        if step.done == 2:
            raise KeyboardInterrupt

    work = Tags(tagged.store, stored(tagged), tagger, batch=2)
    with pytest.raises(KeyboardInterrupt):
        enrich(work, tagged.store, Options(), IndexReport(), interrupt)
    assert len(tagged.store.pending_tags(stored(tagged), tagger.fingerprint)) == 3
    assert tagged.tag().tagged == 3
    whole = tags_of(tagged)
    tagged.clear_tags()
    assert tagged.tag().tagged == 5
    assert tags_of(tagged) == whole


def test_new_pictures_and_chosen_folders(tagged: Library, photos: Path) -> None:
    tagged.index(photos / "trips")
    assert tagged.tag().tagged == 2
    tagged.index(photos)
    report = tagged.tag(photos / "cameraman.png")
    assert report.tagged == 1
    assert "camera" in report.tags
    assert "motorcycle" not in report.tags
    assert tagged.tags(photos / "trips") == tagged.tag(photos / "trips").tags
    assert tagged.tag().tagged == 2
    assert tagged.clear_tags([photos / "trips"]) == 2
    assert "motorcycle" not in tagged.tags()
    assert "camera" in tagged.tags()
    with pytest.raises(SourceError, match=r"'/nowhere': no picture of the library lies there$"):
        tagged.tag("/nowhere")
    with pytest.raises(SourceError, match="'': no picture"):
        tagged.tags("")


def test_another_vocabulary_or_threshold_replaces_the_tags(tagged: Library, photos: Path, tmp_path: Path) -> None:
    tagged.index(photos)
    tagged.tag()
    before = tags_of(tagged)
    file = tmp_path / "words.txt"
    file.write_text("motorbike\ta motorcycle\tmachine\nmachine\n", "utf-8")
    assert tagged.tag(vocabulary=file).tags == {"machine": 1, "motorbike": 1}
    assert {tags for tags in tags_of(tagged).values() if tags} == {("machine", "motorbike")}
    assert tagged.tag(vocabulary=file).tagged == 0
    assert tagged.tag(vocabulary=file, threshold=1.0).tags == {}
    assert tagged.tag().tagged == 5
    assert tags_of(tagged) == before
    few = tagged.tag(threshold=0.9)
    assert few.tagged == 5
    assert sum(few.tags.values()) < sum(len(tags) for tags in before.values())


def test_tags_of_pictures_that_are_gone(tagged: Library, photos: Path) -> None:
    tagged.index(photos)
    tagged.tag()
    (photos / "trips/motorcycle.png").unlink()
    tagged.index()
    assert "motorcycle" not in tagged.tags()
    tagged.remove(photos)
    assert tagged.tags() == {}
    assert tagged.clear_tags() == 0  # swept with their contents


def test_a_library_without_a_model(library: Library) -> None:
    for act in (library.tag, library.tags, library.clear_tags):
        with pytest.raises(NoModelError):
            act()


def test_scenes_meet_as_many_as_they_should() -> None:
    found: Any = scenes()
    assert len(found) == len(set(found))
    riders = [text for text in found if text.endswith(" riding a horse in a field")]
    assert len(riders) == EACH["people"]
    assert len([text for text in found if text.endswith(" jumping to catch a frisbee")]) == EACH["dogs"]
    assert "a city skyline at night" in found
