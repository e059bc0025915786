"""One folder of captioned photos from many sets: what the embedded model and its reranker are trained and judged on.

    python -m mmsearch.training.shipped.mixture --data DIR --out scratch/mixture

``DIR`` holds the sets of ``SETS``, each with ``images/`` and the files that are read below.  ``--out`` gets ``images/``
(hard links, or copies on another disk), ``captions.tsv``, lists of photos, and questions:

``train.txt``; ``dev.txt``, the official dev split of Flickr8k; ``coco_dev.txt``, 250 captioned photos of COCO;
``words_dev.txt``, a tenth of the photos of single words; ``qa.tsv``, questions and answers about photos of DAQUAR's
train split and of COCO.

What is set aside is drawn with seed 0 before anything else, and no other set may show it again: photos of COCO are
known by their number, all others by a hash of what they show.

A photo's texts are its human captions; statements made of questions and answers; names of classes.  How often a text
of a set counts in an epoch is its ``times``; of a class there are ``most`` photos at most.
"""

from __future__ import annotations

import argparse
import csv
import logging
import os
import shutil
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from mmsearch.errors import SourceError
from mmsearch.media.dhash import as_numbers, dhash, distance
from mmsearch.training.common import pairs
from mmsearch.training.reranker.questions import read_daquar

log = logging.getLogger(__name__)

COCO_DEV = 250  # captioned photos of COCO
WORDS_DEV = 0.1  # of the photos of single words
AGREED = 4  # of ten people must give an answer for it to be told of a photo
SAME = 4  # bits of 64 in which the difference hashes of two files of one photo may differ


@dataclass(frozen=True)
class Set:
    """A folder of photos with ``captions.tsv``."""

    folder: str
    coco: bool = False  # photos are named by their number in COCO
    times: int = 1  # each text counts so often in an epoch
    most: int = 0  # photos with the same first text; 0 for all
    words: bool = False  # a photo for a single word


SETS = (
    Set("flickr8k"),
    Set("more/coco-leeds-captions", coco=True, times=2),
    Set("more/coco-30k-captions", coco=True, times=2),
    Set("more/coco-vqa", coco=True),
    Set("more/concept-photos-szepi", words=True, times=2),
    Set("more/concept-photos-spell", words=True, times=2),
    Set("more/ade20k-objects"),
    Set("more/caltech101", most=8),
    Set("more/grocery-store", most=6),
    Set("more/clothing-small", most=15),
    Set("more/houses", most=15),
    Set("more/foodish", most=20),
)


@dataclass
class Photo:
    """Where a photo lies, what it is called in the mixture, and what is said of it."""

    file: Path
    name: str
    texts: list[str]  # that count for training
    captions: list[str]  # that people wrote of it, each once: what dev is judged by


def gather(data: Path) -> dict[str, Photo]:
    """All photos by their names.  Raises SourceError when a set cannot be read."""
    found: dict[str, Photo] = {}
    for one in SETS:
        folder = data / one.folder
        given = pairs.read(folder / "captions.tsv", folder / "images")
        seen: dict[str, int] = defaultdict(int)
        for file, texts in zip(given.names, given.texts, strict=True):
            seen[texts[0]] += 1
            if one.most and seen[texts[0]] > one.most:
                continue
            photo = _photo(found, folder, one, file)
            photo.texts += one.times * list(texts)
            if one.folder != "more/coco-vqa":
                photo.captions += [text for text in texts if text not in photo.captions]
        if one.folder == "more/coco-vqa":
            for file, text in statements(folder / "qa.tsv"):
                photo = _photo(found, folder, one, file)
                if text not in photo.texts:
                    photo.texts.append(text)
    return found


def _photo(found: dict[str, Photo], folder: Path, one: Set, file: str) -> Photo:
    name = f"{'coco' if one.coco else folder.name}/{file}"
    return found.setdefault(name, Photo(folder / "images" / file, name, [], []))


def agreed_questions(file: Path) -> list[dict[str, str]]:
    """The questions about photos of COCO on whose answer enough people agree: ``file``, ``question``, ``answer`` and
    ``statement``, which may be empty."""
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    except OSError as error:
        raise SourceError(f"{file} cannot be read: {error.strerror}") from error
    return [row for row in rows if int(row["agreement_of_10"]) >= AGREED]


def statements(file: Path) -> Iterator[tuple[str, str]]:
    """What questions and their answers say of photos, for those that no statement was made of."""
    for row in agreed_questions(file):
        question, answer = row["question"].strip().rstrip("?").strip(), row["answer"].strip()
        if not row["statement"] and answer not in ("no", "none", "nothing", "0"):
            yield row["file"], question if answer == "yes" else f"{question}? {answer}"


def questions(data: Path, aside: set[str]) -> Iterator[tuple[str, Path, str, str]]:
    """Name in the mixture, file, question and answer; of no photo that is set aside."""
    for file, question, answer in read_daquar(data / "daquar"):
        yield f"daquar/{file}", data / "daquar" / "images" / file, question, answer
    folder = data / "more" / "coco-vqa"
    for row in agreed_questions(folder / "qa.tsv"):
        if f"coco/{row['file']}" not in aside:
            yield f"coco/{row['file']}", folder / "images" / row["file"], row["question"].strip(), row["answer"].strip()


def looks(file: Path) -> bytes:
    """The difference hash of a photo."""
    with Image.open(file) as image:
        return dhash(np.asarray(image.convert("RGB")))


def set_aside(photos: dict[str, Photo], data: Path) -> dict[str, list[str]]:
    """The names of each list of photos, ``dev``, ``coco_dev``, ``words_dev`` and ``train``."""
    rng = np.random.default_rng(0)
    captioned = sorted(name for name, photo in photos.items() if name.startswith("coco/") and photo.captions)
    single = sorted(name for name in photos if name.startswith("concept-photos"))
    lists = {
        "dev": [f"flickr8k/{name}" for name in (data / "flickr8k" / "dev.txt").read_text("utf-8").split()],
        "coco_dev": [str(name) for name in rng.choice(captioned, COCO_DEV, replace=False)],
        "words_dev": [str(name) for name in rng.choice(single, round(WORDS_DEV * len(single)), replace=False)],
    }
    aside = {name for names in lists.values() for name in names}
    hashes, _ = as_numbers([looks(photo.file) for photo in photos.values()])
    kept = hashes[[name in aside for name in photos]]
    lists["train"], alike = [], 0
    for name, own in zip(photos, hashes, strict=True):
        if name in aside:
            continue
        if distance(kept, own).min() <= SAME:
            alike += 1
        else:
            lists["train"].append(name)
    log.info("%d photos are left out: they show what was set aside", alike)
    return lists


def write(data: Path, out: Path) -> None:
    """The whole folder.  Raises SourceError when ``out`` is there, or a set cannot be read."""
    if out.exists():
        raise SourceError(f"{out} is there already: give another folder, or remove it")
    photos = gather(data)
    lists = set_aside(photos, data)
    out.mkdir(parents=True)
    lines = []
    for label, names in lists.items():
        (out / f"{label}.txt").write_text("".join(f"{name}\n" for name in names), "utf-8")
        for name in names:
            photo = photos[name]
            lines += [f"{name}\t{text}\n" for text in (photo.texts if label == "train" else photo.captions)]
            _place(photo.file, out / "images" / name)
        texts = sum(len(photos[name].texts) for name in names)
        log.info("%s: %d photos, %d texts", label, len(names), texts)
    (out / "captions.tsv").write_text("".join(lines), "utf-8")
    aside = {name for label, names in lists.items() if label != "train" for name in names}
    rows = list(questions(data, aside))
    for name, file, _, _ in rows:
        _place(file, out / "images" / name)
    lines = [f"{name}\t{question}\t{answer}\n" for name, _, question, answer in rows]
    (out / "qa.tsv").write_text("".join(lines), "utf-8")
    log.info("questions: %d about %d photos", len(rows), len({name for name, *_ in rows}))


def _place(file: Path, target: Path) -> None:
    """``file`` as ``target``, which may be there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        try:
            os.link(file, target)
        except OSError:
            shutil.copyfile(file, target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("scratch/mixture"))
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    write(given.data, given.out)


if __name__ == "__main__":
    main()
