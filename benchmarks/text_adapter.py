"""The adapter of short texts: what it gives by the number of words, and a curve by amount and kind of photos.

    python -m benchmarks.text_adapter --data MIXTURE [--work DIR] [--sets DIR]

``MIXTURE`` is the folder that ``python -m mmsearch.training.shipped.mixture`` makes.  The adapter of the embedded model
(``mmsearch/search/text_adapter.py``) is learned from an eighth, a quarter, a half and all of the training photos, and
from those of one kind alone: Flickr8k's, COCO's, all others.  Judged by mean average precision of the 200 queries of
``plain_queries.py``, all of them moved, also those with rare words, with the interval of the difference to none.
Photos as they are, one view.  However few phrases there are, an adapter is learned.

"words": of phrases of one to six words, and of captions, of Flickr8k dev and COCO dev over these photos, the mean
average precision as the encoder has them, and what they gain when they are moved by the whole map, whatever their
length.  Right is a photo whose captions have the phrase.  From which length on texts are moved by less was chosen here.

"classes", with ``--sets``, the folder that the mixture was made from: photos of four sets with class names that the
mixture left out, each asked for by the name of its class, as a search asks.  The model knows the names; nothing of the
adapter was chosen on them.

"curve": for each part its photos, its phrases, the figure, and what is gained.  One JSON line.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.captioned import average_precision, photo_vectors
from benchmarks.common import report
from benchmarks.plain_queries import graded, interval, judged_photos, read_grades, read_queries, score
from mmsearch.encoders.factory import EMBEDDED
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.evaluation import answerable
from mmsearch.language.stop_words import STOP_WORDS
from mmsearch.search.text_adapter import TextAdapter, moved, words_in
from mmsearch.training.common import pairs, text_adapter
from mmsearch.training.common.phrases import Phrases
from mmsearch.training.shipped.embedded import read_split
from mmsearch.training.shipped.rerank_embedded import sentences
from mmsearch.types import Vectors

CLASSES, FEW = ("caltech101", "foodish", "clothing-small", "houses"), 3  # sets, and photos that a class must have
SHARES = (0.125, 0.25, 0.5, 1.0)
LONGEST, TEXTS, MANY = 6, 400, 300  # words of a phrase; texts of each length; photos that have it at most
KINDS = ("flickr8k", "coco")  # as the names of the photos begin; "others" are all the rest


def kept(file: Path | None, names: list[Path], encoder: OnnxEncoder) -> Vectors:
    """The vectors of photos, read from a file where it is there."""
    if file is not None and file.exists():
        stored: Vectors = np.load(file)
        return stored
    rows = photo_vectors(names, encoder)
    if file is not None:
        np.save(file, rows)
    return rows


def kind_of(name: str) -> str:
    return next((kind for kind in KINDS if name.startswith(kind)), "others")


def by_words(data: Path, encoder: OnnxEncoder, file: Path | None) -> dict[str, Any]:
    """What the map that ships gives texts of each length."""
    photos = [read_split(data, kind) for kind in ("dev", "coco_dev")]
    vectors = kept(file, [data / "images" / name for own in photos for name in own.names], encoder)
    captions = [own for some in photos for own in some.texts]
    adapter = TextAdapter.of(encoder)
    assert adapter is not None
    whole = adapter.map

    def by_all(texts: Vectors, right: NDArray[np.bool_]) -> dict[str, Any]:
        return gained(texts, texts + texts @ whole[:-1] + whole[-1], right, vectors)

    rng, found = np.random.default_rng(0), dict[str, Any]()
    for length in range(1, LONGEST + 1):
        own = [{text for caption in texts for text in of_length(caption, length)} for texts in captions]
        count = Counter(text for texts in own for text in texts)
        some = sorted(text for text, shown in count.items() if 2 <= shown <= MANY)
        some = [some[row] for row in rng.permutation(len(some))[:TEXTS]]
        right = np.array([[text in texts for texts in own] for text in some])
        found[f"{length} words"] = by_all(answerable.encode(encoder, some), right)
    long = [(row, text) for row, texts in enumerate(captions) for text in texts if len(text.split()) > LONGEST]
    long = [long[row] for row in rng.permutation(len(long))[:TEXTS]]
    right = np.arange(len(captions)) == np.array([row for row, _ in long])[:, None]
    found["captions"] = by_all(answerable.encode(encoder, [text for _, text in long]), right)
    return found


def of_length(caption: str, words: int) -> Iterator[str]:
    """The phrases of a caption with so many words."""
    said = words_in(caption)
    for start in range(len(said) - words + 1):
        if said[start] not in STOP_WORDS and said[start + words - 1] not in STOP_WORDS:
            yield " ".join(said[start : start + words])


def gained(texts: Vectors, after: Vectors, right: NDArray[np.bool_], photos: Vectors) -> dict[str, Any]:
    """Of texts (n, dim), as they are and moved, which photos are ``right`` for (n, photos)."""
    first, second = (
        np.array([average_precision(scores, own) for scores, own in zip(rows @ photos.T, right, strict=True)])
        for rows in (texts, after)
    )
    change = second - first
    return {
        "texts": len(texts), "mAP": round(float(first.mean()), 2), "gained": round(float(change.mean()), 2),
        "interval": interval(change),
    }  # fmt: skip


def by_classes(sets: Path, data: Path, encoder: OnnxEncoder) -> dict[str, Any]:
    """What the adapter that ships gives names of classes, over photos of the same set that the mixture left out."""
    trained, found = set((data / "train.txt").read_text("utf-8").split("\n")), dict[str, Any]()
    for kind in CLASSES:
        every = pairs.read(sets / "more" / kind / "captions.tsv", sets / "more" / kind / "images")
        photos = every.keep(row for row, name in enumerate(every.names) if f"{kind}/{name}" not in trained)
        own = Counter(texts[0] for texts in photos.texts)
        names = [name for name, shown in own.items() if shown >= FEW]
        right = np.array([[texts[0] == name for texts in photos.texts] for name in names])
        vectors = photo_vectors([photos.folder / name for name in photos.names], encoder)
        plain = answerable.encode(encoder, names)
        adapted = np.stack([moved(encoder, row, name) for row, name in zip(plain, names, strict=True)])
        found[kind] = {"photos": len(photos), **gained(plain, adapted, right, vectors)}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, help="keeps the vectors of the photos")
    parser.add_argument("--sets", type=Path, help="the folder that the mixture was made from")
    given = parser.parse_args()
    if given.work:
        given.work.mkdir(parents=True, exist_ok=True)
    encoder = OnnxEncoder(EMBEDDED)
    training, queries, captions = read_split(given.data, "train"), read_queries(), judged_photos(given.data)
    files = [given.data / "images" / name for name in training.names]
    vectors = kept(given.work and given.work / "train.npy", files, encoder)
    files = [given.data / "images" / name for name in captions]
    photos = kept(given.work and given.work / "judged.npy", files, encoder)
    grades = graded(queries, captions, read_grades())
    plain = encoder.encode_texts([query.text for query in queries])

    asked = frozenset(word for query in queries for word in words_in(query.text))

    def judged(adapter: TextAdapter | None) -> NDArray[np.float64]:
        rows = plain
        if adapter is not None:
            rows = np.stack([adapter.moved(row, query.text) for row, query in zip(plain, queries, strict=True)])
        return np.array([score(found, right)[0] for found, right in zip(rows @ photos.T, grades, strict=True)])

    described = set(sentences(training).names)
    order = np.random.default_rng(0).permutation(len(training))
    kinds = np.array([kind_of(name) for name in training.names])
    parts = {f"{share:g} of all": np.sort(order[: round(share * len(training))]) for share in SHARES}
    parts |= {kind: np.flatnonzero(kinds == kind) for kind in (*KINDS, "others")}
    before = judged(None)
    figures: dict[str, Any] = {"none": {"mAP": round(float(before.mean()), 2)}}
    for name, rows in parts.items():
        some = training.keep(rows)
        told = np.array([row for row, photo in enumerate(some.names) if photo in described], np.int64)
        made = text_adapter.fit(
            vectors[rows][None], some.texts, lambda texts: answerable.encode(encoder, texts), told, needed=1
        )
        after = before if made is None else judged(replace(made, words=asked))
        figures[name] = {
            "photos": len(rows), "phrases": len(Phrases.of(some.texts).texts), "learned": made is not None,
            "mAP": round(float(after.mean()), 2), "gained": round(float((after - before).mean()), 2),
            "interval": interval(after - before),
        }  # fmt: skip
    words = by_words(given.data, encoder, given.work and given.work / "dev.npy")
    classes = by_classes(given.sets, given.data, encoder) if given.sets else {}
    report("text_adapter", {"words": words, "classes": classes, "curve": figures})


if __name__ == "__main__":
    main()
