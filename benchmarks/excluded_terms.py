"""What a NOT leaves out: `-dog`, over several kinds of photos, against what their captions say.

    python -m benchmarks.excluded_terms --data DIR [--work DIR] [--kinds dev coco_dev] [--least 8] [--table]

``DIR`` is what ``training/shipped/mixture.py`` makes.  Each kind of photos becomes a real library, and each term a
search without anything else.  Only terms that at least ``LEAST`` photos of a kind show and as many do not.  Of the
photos whose captions name the term (by any of the words below, or one that is below it in WordNet) the share that is
left in; of the others the share that is lost: of those in which it is surely absent (``training/common/mentions.py``),
and of all.  Beside it, on the same vectors: a limit on the cosine, 2 and 0.75 spreads above the mean of the library.

"invisible": of words that no photo shows (``INVISIBLE``) the mean share of all photos that each leaves out.

No photo of these kinds was trained on; epochs of the model were chosen on Flickr8k dev and COCO dev, nothing on
``words_dev`` (98 photos of single words: take ``--least 3``).  One JSON line, or a table.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import report
from benchmarks.search_quality import made
from mmsearch import Library, Query, Words
from mmsearch.encoders.factory import embedded
from mmsearch.language.nouns import find, nouns
from mmsearch.search.retrieval import Excluded
from mmsearch.training.common.mentions import PEOPLE, is_absent, words_of
from mmsearch.training.shipped.embedded import read_split

# A term, a word of nouns.tsv that its absence is told by, and words that name it beside those below it in WordNet.
TERMS = {
    "people": ("person", PEOPLE | {"people"}),
    "dog": ("dog", {"puppy", "puppies"}),
    "car": ("car", {"suv", "sedan"}),
    "man": ("man", {"guy"}),
    "woman": ("woman", {"lady", "ladies"}),
    "child": ("child", {"kid", "kids", "boy", "boys", "girl", "girls", "baby", "toddler"}),
    "animal": ("animal", set()),
    "cat": ("cat", {"kitten"}),
    "horse": ("horse", {"pony"}),
    "bird": ("bird", set()),
    "vehicle": ("vehicle", set()),
    "bus": ("bus", set()),
    "train": ("train", {"locomotive"}),
    "bicycle": ("bicycle", {"bike", "bikes"}),
    "motorcycle": ("motorcycle", {"motorbike"}),
    "boat": ("boat", {"canoe", "kayak", "ship", "sailboat"}),
    "water": ("water", {"ocean", "sea", "lake", "river", "pool", "pond", "waves", "wave"}),
    "snow": ("snow", {"snowy"}),
    "grass": ("grass", {"grassy", "lawn"}),
    "ball": ("ball", {"football", "basketball", "baseball", "soccer"}),
    "beach": ("beach", {"shore"}),
    "tree": ("tree", set()),
    "street": ("street", {"road", "roads"}),
    "food": ("food", {"pizza", "sandwich", "cake", "meal"}),
    "building": ("building", set()),
    "table": ("table", set()),
    "skateboard": ("skateboard", set()),
    "flower": ("flower", set()),
}
LEAST = 8
INVISIBLE = ("smith", "maria", "john", "2019", "4711", "IMG_0420", "xyzzy", "Hund", "good", "boring", "tomorrow", "iso")


def names(words: set[str], term: str) -> bool:
    """Whether the words of a photo's captions name a term."""
    word, more = TERMS[term]
    found = {known[0] for one in words if (known := find(one)) is not None}
    if term == "people" and any(noun.kind == "person" for noun in found):
        return True
    return bool(words & more) or any(noun.word == word or word in noun.above for noun in found)


def kept(library: Library, term: str, count: int) -> NDArray[np.bool_]:
    """Which photos stay, (count,)."""
    hits = library.search(Query((Words(term, exclude=True),)), count)
    stays = np.zeros(count, np.bool_)
    stays[[int(Path(hit.path).stem[4:]) for hit in hits]] = True
    return stays


def shares(stays: NDArray[np.bool_], named: NDArray[np.bool_], absent: NDArray[np.bool_]) -> dict[str, float]:
    """In percent."""
    parts = {"left": stays[named], "lost": ~stays[absent], "lost of all others": ~stays[~named]}
    return {name: round(100 * float(part.mean()), 1) for name, part in parts.items()}


def measured(data: Path, kind: str, work: Path, least: int) -> tuple[dict[str, Any], float]:
    """Of each term how many photos name it, and the shares by each way; and the figure of the invisible words."""
    photos = read_split(data, kind)
    library = made(photos, work / kind, told=False)
    stored = library.store.model()
    assert stored is not None
    ids = library.store.searchable(stored)
    order = [int(Path(library.store.photos([one])[one][0].path).stem[4:]) for one in ids.tolist()]
    vectors = library.store.vectors(ids, stored.dim)[np.argsort(order)]
    words = [words_of(own) for own in photos.texts]
    encoder, found = embedded(), {}
    for term, (thing, _) in TERMS.items():
        named = np.array([names(own, term) for own in words])
        absent = ~named & np.array([is_absent(nouns()[thing].word, own) for own in words])
        if min(named.sum(), absent.sum()) < least:
            continue
        vector = encoder.encode_texts([term])[0]
        ways = {"search": kept(library, term, len(photos))}
        for spreads in (2.0, 0.75):
            ways[f"{spreads} spreads"] = ~Excluded(vector, spreads=spreads).matches(vectors, vectors)
        found[term] = {"named": int(named.sum())} | {way: shares(own, named, absent) for way, own in ways.items()}
    gone = [float((~kept(library, word, len(photos))).mean()) for word in INVISIBLE]
    library.close()
    return found, round(100 * float(np.mean(gone)), 1)


def means(terms: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Over terms, each counting the same."""
    ways = [way for way in next(iter(terms.values())) if way != "named"]
    return {
        way: {
            name: round(float(np.mean([of[way][name] for of in terms.values()])), 1)
            for name in next(iter(terms.values()))[way]
        }
        for way in ways
    }


def table(figures: dict[str, Any]) -> str:
    lines = ["| photos | term | named in | left | lost | 2 spreads: left | lost |", "|---|---|---|---|---|---|---|"]
    for kind, found in figures.items():
        rows = [*found["terms"].items(), ("mean", {"named": ""} | found["means"])]
        for term, of in rows:
            new, old = of["search"], of["2.0 spreads"]
            lines.append(
                f"| {kind} | {term} | {of['named']} | {new['left']} | {new['lost']} | {old['left']} | {old['lost']} |"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, help="keeps the libraries")
    parser.add_argument("--kinds", nargs="+", default=["dev", "coco_dev"])
    parser.add_argument("--least", type=int, default=LEAST, help="photos that a term must have, and lack")
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = {}
        for kind in given.kinds:
            terms, invisible = measured(given.data, kind, given.work or Path(folder), given.least)
            figures[kind] = {"terms": terms, "means": means(terms), "invisible": invisible}
    if given.table:
        print(table(figures))
    else:
        report("excluded_terms", figures)


if __name__ == "__main__":
    main()
