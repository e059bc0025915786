"""Make ``mmsearch/language/word_rates.tsv`` again: of how many texts about photos a word stands in.

    python -m mmsearch.training.shipped.word_rates --data scratch/mixture

The folder is one of ``mixture.py``; its train split is read.  A word's rate is the mean of its share of the captions of
Flickr8k and of those of COCO, so that neither's subjects count in full; or what general English makes of it, where that
is more: by Zipf's law the word of rank r stands in one of r texts of ten words.  Ranks are those of whole words in the
vocabulary of the embedded model, which BERT's authors ordered by how often Wikipedia and books have them.

Words of one stem have their rates together (FTS5's Porter stemmer, which finds them by each other).  Numbers are left
out: they are names more often than not.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from mmsearch.language.letters import plain
from mmsearch.language.nouns import tokenize
from mmsearch.training.common.pairs import Pairs
from mmsearch.training.shipped.embedded import read_split

PACKAGE = Path(__file__).parent.parent.parent
OUT = PACKAGE / "language" / "word_rates.tsv"
VOCABULARY = PACKAGE / "encoders" / "weights" / "embedded" / "tokenizer.json"

KINDS = ("flickr8k/", "coco/")  # photos whose captions are counted, by the beginnings of their names
FIRST = 1996  # id of "the", the first word of the vocabulary that is ordered
LEAST = 0.002  # rate from which on a word is kept: others count as never written


def stems(words: Iterable[str]) -> dict[str, str]:
    """Each word's stem, as FTS5 has it."""
    base = sqlite3.connect(":memory:")
    base.execute("CREATE VIRTUAL TABLE words USING fts5(word, tokenize = 'porter unicode61')")
    base.execute("CREATE VIRTUAL TABLE terms USING fts5vocab(words, instance)")
    own = sorted(set(words))
    base.executemany("INSERT INTO words (rowid, word) VALUES (?, ?)", enumerate(own))
    found = {own[row]: str(term) for term, row in base.execute("SELECT term, doc FROM terms WHERE offset = 0")}
    base.close()
    return found


def rates(kinds: Iterable[Pairs], ranks: Mapping[str, int]) -> dict[str, float]:
    """The rate of each word that has one of ``LEAST`` or more."""
    texts = [[{token.word for token in tokenize(text)} for own in one.texts for text in own] for one in kinds]
    stem_of = stems([*ranks, *(word for kind in texts for text in kind for word in text)])
    found: dict[str, float] = defaultdict(float)
    for kind in texts:
        for text in kind:
            for stem in {stem_of[word] for word in text if word in stem_of}:
                found[stem] += 1 / len(kind) / len(texts)
    general: dict[str, float] = defaultdict(float)
    for word, rank in ranks.items():
        if word in stem_of:
            general[stem_of[word]] += 1 / rank
    for stem, share in general.items():
        found[stem] = max(found[stem], min(share, 1.0))
    return {
        word: round(found[stem], 4)
        for word, stem in sorted(stem_of.items())
        if found[stem] >= LEAST and word.isalpha() and word == plain(word)
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    train = read_split(given.data, "train")
    kinds = [train.keep([row for row, name in enumerate(train.names) if name.startswith(begin)]) for begin in KINDS]
    vocabulary: dict[str, int] = json.loads(VOCABULARY.read_text("utf-8"))["model"]["vocab"]
    ranks = {word: number - FIRST + 1 for word, number in vocabulary.items() if number >= FIRST and word.isalpha()}
    lines = [f"{word}\t{rate:g}\n" for word, rate in rates(kinds, ranks).items()]
    given.out.write_text("".join(lines), "utf-8")


if __name__ == "__main__":
    main()
