"""How well a model finds the right photo for a caption, the right caption for a photo, and the class of a photo."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmsearch.encoders.protocol import Encoder
from mmsearch.encoders.region_codec import pack, unpack
from mmsearch.errors import SourceError
from mmsearch.evaluation import metrics, reranking_gain, zero_shot
from mmsearch.evaluation.reranking_gain import CaptionedPhotos
from mmsearch.evaluation.zero_shot import Class
from mmsearch.ingest.options import Options
from mmsearch.ingest.prefetch import read_ahead
from mmsearch.media.discover import walk
from mmsearch.media.filesystem import read_text
from mmsearch.rerank.card import region_key
from mmsearch.search.hubness import BETA, NEAREST, hubness_penalty
from mmsearch.types import Found, Ids, Progress, Regions, Skipped, Vectors

if TYPE_CHECKING:
    from mmsearch.rerank.reranker import Reranker

TEXTS = 64  # captions encoded together
DUMPED = 5  # answers of each query in the dump, where nobody says how many

Dump = Callable[[dict[str, Any]], None]


def read_captions(file: Path, only: Path | None = None) -> dict[str, list[str]]:
    """File name -> captions, from ``file name<TAB>caption`` lines (UTF-8, no header).

    ``only`` names a file with the file names to keep, one a line.  Raises SourceError.
    """
    captions: dict[str, list[str]] = {}
    for number, line in enumerate(_lines(file), 1):
        name, tab, caption = line.partition("\t")
        if not tab or not name or not caption.strip():
            raise SourceError(f"{file}, line {number}: wanted 'file name<TAB>caption', got {line[:60]!r}")
        captions.setdefault(name, []).append(caption.strip())
    if only is not None:
        captions = {name: captions[name] for name in _lines(only) if name in captions}
    if not captions:
        raise SourceError(f"{file}: no captions" + (f" for the files named in {only}" if only else ""))
    return captions


def read_classes(file: Path) -> list[Class]:
    """The classes of ``key<TAB>name, synonym, …`` lines, or of lines that are key and name in one (UTF-8).

    A key is the name of a folder or what file names start with.  Lines with the same name make one class of several
    keys.  In a line without a tab, ``_`` stands for a space of the name.  Raises SourceError.
    """
    keys: dict[str, list[str]] = {}
    texts: dict[str, dict[str, None]] = {}
    seen: set[str] = set()
    for line in _lines(file):
        key, tab, names = line.partition("\t")
        key = key.strip()
        spellings = [text.strip() for text in names.split(",")] if tab else [key.replace("_", " ")]
        if not key or not all(spellings):
            raise SourceError(f"{file}: wanted 'key<TAB>class name, synonym, …' or a class name, got {line[:60]!r}")
        if key in seen:
            raise SourceError(f"{file}: {key!r} is there twice")
        seen.add(key)
        keys.setdefault(spellings[0], []).append(key)
        texts.setdefault(spellings[0], {}).update(dict.fromkeys(spellings))
    if len(keys) < 2:
        raise SourceError(f"{file}: wanted at least two classes to tell apart, got {len(keys)}")
    return [Class(name, tuple(keys[name]), tuple(texts[name])) for name in keys]


def read_texts(file: Path) -> list[str]:
    """The different texts of a file (UTF-8), one a line.  Raises SourceError, also where there are none."""
    texts = list(dict.fromkeys(line.strip() for line in _lines(file)))
    if not texts:
        raise SourceError(f"{file}: no texts")
    return texts


def _lines(file: Path) -> list[str]:
    try:
        return [line for line in read_text(file, "utf-8-sig").split("\n") if line.strip()]
    except UnicodeDecodeError as error:
        raise SourceError(f"{file} is no UTF-8 text: {error}") from error
    except OSError as error:
        raise SourceError(f"{file} cannot be read: {error.strerror}") from error


@dataclass(frozen=True)
class Measures:
    """What is measured beside caption retrieval by cosines."""

    classes: Sequence[Class] | None = None  # zero-shot classification among these
    querybank: Sequence[str] | None = None  # caption retrieval with hubness correction by these texts too …
    beta: float = BETA  # … so much of the hubness taken off
    reranker: Reranker | None = None  # caption retrieval with reranking too …
    rerank_depth: int = 100  # … of so many photos for each caption
    dump: Dump | None = None  # gets each query with its right answers, their rank and the best answers …
    dumped: int = DUMPED  # … so many of them
    reliability: bool = False  # how far the relevance of the first stage can be trusted, by the captions


def evaluate(
    encoder: Encoder,
    captions: dict[str, list[str]] | None,
    images: Path,
    measures: Measures | None = None,
    options: Options | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> dict[str, Any]:
    """Figures of ``encoder`` as percentages; the primary one is text_to_image R@1.  Photos are encoded once.

    ``options`` say how photos are read; ``progress`` is called after each of them, and each reranked caption.

    With ``captions`` there are ``text_to_image`` and ``image_to_text`` (R@1, R@5, R@10, MRR), their 95 % ``intervals``
    (``metrics.intervals``), ``queries`` and ``photos``.  A text query has one right photo, its own; a photo has as many
    right texts as it has captions and its best-placed one counts.

    With a querybank too, ``corrected`` has the same figures after hubness correction (``search/hubness.py``), and
    ``background`` says with what: texts of the querybank that are captions are left out of it, because the answers
    would be in the correction.  Photos are corrected, captions are not, so ``image_to_text`` stays what it was.

    With classes, ``zero_shot`` has what ``zero_shot.figures`` returns, for the photos below ``images`` that have a
    class (``zero_shot.label``), and their number is ``photos`` where there are no captions.

    With ``reliability`` there are the tenths of relevance of ``plots.reliability``, as lists.

    With a reranker, ``reranked`` has the text-to-image figures after the best photos were reranked, and what was gained
    over the same first stage, with hubness correction where there is a querybank (``reranking_gain.figures``).

    Photos that are missing, cannot be read or have no class are left out and listed in ``skipped``.  Raises SourceError
    when no photo is left.
    """
    measures = measures or Measures()
    classes = measures.classes
    files: dict[str, Found] = {}
    skipped: list[Skipped] = []
    names: dict[str, tuple[str, list[str]]] = {}  # path -> name in the file of captions, and captions
    for name, texts in (captions or {}).items():
        found = next(walk(str(images / name)), None)
        if isinstance(found, Found):
            files[found.path] = found
            names.setdefault(found.path, (name, []))[1].extend(texts)
        else:
            skipped.append(found or Skipped(str(images / name), "no picture file"))
    class_of: dict[str, int] = {}  # path -> place in ``classes``
    if classes is not None:
        labelled, unlabelled = zero_shot.label(classes, images)
        for found, number in labelled:
            path = str(Path(found.path))  # without the "./" that captioned photos do not have
            files.setdefault(path, found)
            class_of[path] = number
        skipped += unlabelled
    regions: dict[str, Regions] | None = {} if measures.reranker is not None and captions is not None else None
    beside: Encoder | None = None  # gives the tokens, where they are not the encoder's own: it sees photos otherwise
    if measures.reranker is not None and region_key(encoder.card) != measures.reranker.card.regions:
        beside = measures.reranker.encoder
    own = None if beside is not None else regions
    vectors, unreadable = _encode(encoder, files, options or Options(), progress, own)
    skipped += unreadable
    if beside is not None and regions is not None:
        readable = {path: file for path, file in files.items() if path in vectors}
        _encode(beside, readable, options or Options(), progress, regions)
    figures: dict[str, Any] = {}
    if captions is not None:
        photos = [path for path in names if path in vectors]
        if not photos:
            raise SourceError(f"none of the {len(captions)} captioned photos could be read in {images}")
        rows = np.stack([vectors[path] for path in photos])
        tokens = np.stack([regions[path] for path in photos]) if regions is not None else None
        figures |= _retrieval(encoder, rows, tokens, [names[path] for path in photos], measures, progress)
    if classes is not None:
        photos = [path for path in class_of if path in vectors]
        if not photos:
            raise SourceError(f"none of the {len(class_of)} photos with a class could be read in {images}")
        rows = np.stack([vectors[path] for path in photos])
        right = np.array([class_of[path] for path in photos])
        scores = rows @ zero_shot.class_vectors(encoder, classes).T  # (p, d) x (d, c) -> (p, c)
        figures["zero_shot"] = {**zero_shot.figures(scores, right, classes), "without_class": len(unlabelled)}
        figures.setdefault("photos", len(photos))
        if measures.dump is not None:
            _dump_classes(photos, scores, right, classes, encoder.card.name, measures)
    return {
        **figures,
        "skipped": [{"path": item.path, "reason": item.reason} for item in skipped],
        "model": encoder.card.name,
    }


def _encode(
    encoder: Encoder,
    files: dict[str, Found],
    options: Options,
    progress: Callable[[Progress], None] | None,
    regions: dict[str, Regions] | None,
) -> tuple[dict[str, Vectors], list[Skipped]]:
    """The vector (dim,) of each file that can be read, by the key of ``files``; and those that cannot.

    ``regions``, where given, gets the region tokens (r, dim) in the same way, as a library would store them.
    """
    vectors: dict[str, Vectors] = {}
    skipped: list[Skipped] = []
    keys: list[str] = []
    pixels: list[NDArray[np.uint8]] = []

    def flush() -> None:
        if pixels and regions is None:
            vectors.update(zip(keys, encoder.encode_images(np.stack(pixels)), strict=True))
        elif pixels and regions is not None:
            rows, tokens = encoder.encode_pictures(np.stack(pixels))
            assert tokens is not None
            vectors.update(zip(keys, rows, strict=True))
            regions.update(zip(keys, unpack(pack(tokens), tokens.shape[1], tokens.shape[2]), strict=True))
        if pixels:
            keys.clear()
            pixels.clear()

    reads = read_ahead(list(files.values()), set(), encoder.card.preprocess, options)
    for done, (key, item) in enumerate(zip(files, reads, strict=True), 1):
        if item.picture is None:
            skipped.append(Skipped(item.file.path, item.failure or "could not be read"))
        else:
            keys.append(key)
            pixels.append(item.picture.pixels)
            if len(pixels) == options.batch:
                flush()
        if progress is not None:
            progress(Progress(done, len(files), item.file.path))
    flush()
    return vectors, skipped


def _retrieval(
    encoder: Encoder,
    images: Vectors,
    tokens: Regions | None,
    photos: Sequence[tuple[str, list[str]]],
    measures: Measures,
    progress: Callable[[Progress], None] | None,
) -> dict[str, Any]:
    """Figures of caption retrieval, for n photos: their vectors (n, dim), region tokens, names and captions."""
    captions = [caption for _, its in photos for caption in its]
    owner = np.repeat(np.arange(len(photos)), [len(its) for _, its in photos])
    texts = _encode_texts(encoder, captions)
    ranks = {"": metrics.ranks(images, texts, owner)}
    correction: dict[str, Any] = {}
    penalty: NDArray[np.float32] | None = None
    if measures.querybank is not None:
        among = set(captions)
        querybank = [text for text in measures.querybank if text not in among]
        if not querybank:
            raise SourceError("the background has no text that is not a caption of these photos")
        penalty = hubness_penalty(images, _encode_texts(encoder, querybank), measures.beta)
        ranks["corrected"] = metrics.ranks(images, texts, owner, penalty)
        correction = {
            "texts": len(querybank),
            "left_out": len(measures.querybank) - len(querybank),
            "nearest": min(NEAREST, len(querybank)),
            "beta": measures.beta,
        }
    if measures.dump is not None:
        for line in _dumped(images, texts, owner, photos, captions, ranks, measures.dumped):
            measures.dump({"model": encoder.card.name, **line})
    figures = {**_summary(ranks[""], owner, len(photos)), "queries": len(captions), "photos": len(photos)}
    if penalty is not None:
        figures |= {"corrected": _summary(ranks["corrected"], owner, len(photos)), "background": correction}
    if measures.reliability:
        from mmsearch.evaluation.plots import reliability

        figures["reliability"] = [tuple(one) for one in reliability(encoder, [its for _, its in photos], images)]
    if measures.reranker is not None and tokens is not None:
        scores = texts @ images.T - (0 if penalty is None else penalty)  # (q, d) x (d, n) -> (q, n)
        captioned = CaptionedPhotos(captions, owner, images, tokens)
        figures["reranked"] = reranking_gain.figures(
            measures.reranker, encoder, captioned, scores, measures.rerank_depth, progress
        )
    return figures


def _summary(ranks: dict[str, Ids], owner: Ids, photos: int) -> dict[str, Any]:
    """The figures of each direction, and their intervals; ``ranks`` are those of ``metrics.ranks``."""
    clusters = {"text_to_image": owner, "image_to_text": np.arange(photos)}
    return {
        **{direction: metrics.summarize(found) for direction, found in ranks.items()},
        "intervals": {direction: metrics.intervals(found, clusters[direction]) for direction, found in ranks.items()},
    }


def _encode_texts(encoder: Encoder, texts: Sequence[str]) -> Vectors:
    return np.concatenate([encoder.encode_texts(texts[start : start + TEXTS]) for start in range(0, len(texts), TEXTS)])


def _dumped(
    images: Vectors,
    texts: Vectors,
    owner: Ids,
    photos: Sequence[tuple[str, list[str]]],
    captions: Sequence[str],
    ranks: dict[str, dict[str, Ids]],
    top: int,
) -> Iterator[dict[str, Any]]:
    names = [name for name, _ in photos]
    queries = {
        "text_to_image": (captions, [[names[photo]] for photo in owner], metrics.best(texts, images, top), names),
        "image_to_text": (names, [its for _, its in photos], metrics.best(images, texts, top), captions),
    }
    for direction, (asked, right, (rows, scores), answers) in queries.items():
        for row, query in enumerate(asked):
            yield {
                "direction": direction,
                "query": query,
                "right": right[row],
                "rank": int(ranks[""][direction][row]),
                **({"corrected_rank": int(ranks["corrected"][direction][row])} if "corrected" in ranks else {}),
                "found": _found(rows[row], scores[row], answers),
            }


def _dump_classes(
    photos: Sequence[str],
    scores: NDArray[np.float32],
    right: Ids,
    classes: Sequence[Class],
    model: str,
    measures: Measures,
) -> None:
    assert measures.dump is not None
    names = [one.name for one in classes]
    order = np.argsort(-scores, axis=1, kind="stable")[:, : measures.dumped]
    ranks = zero_shot.ranks(scores, right)
    for photo, rank, number, rows, row in zip(photos, ranks, right, order, scores, strict=True):
        line = {"direction": "zero_shot", "query": photo, "right": [names[number]], "rank": int(rank)}
        measures.dump({"model": model, **line, "found": _found(rows, row[rows], names)})


def _found(rows: Ids, scores: NDArray[np.float32], answers: Sequence[str]) -> list[dict[str, Any]]:
    return [{"answer": answers[row], "score": round(float(score), 4)} for row, score in zip(rows, scores, strict=True)]
