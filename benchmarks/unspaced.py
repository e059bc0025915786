"""What it costs to find words inside longer ones in scripts without spaces: pairs of signs, trigrams, whole rows.

    python -m benchmarks.unspaced --rows 100000

Descriptions are eight words of two signs each, in Chinese, Japanese and Korean, drawn by a law of Zipf from 5,000, in
rows of four; names are as cameras write them.  Each way is a table of FTS5 of its own.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import tempfile
import time
from pathlib import Path

import numpy as np

from mmsearch.store.words.spelling import expression, stored, written

SCRIPTS = ((0x4E00, 3000), (0x30A1, 80), (0xAC00, 2000))  # first sign, and how many
OURS = "porter unicode61 remove_diacritics 0 categories 'L* N* Co Mn Mc'"
WORDS, ROW, TYPES = 8, 4, 5000


def texts(rng: np.random.Generator, count: int) -> tuple[list[str], list[str]]:
    """Descriptions, and the words that they are made of, the most frequent first."""
    words = []
    for number in range(TYPES):
        first, signs = SCRIPTS[number % len(SCRIPTS)]
        words.append("".join(chr(first + int(sign)) for sign in rng.integers(signs, size=2)))
    chances = 1 / (np.arange(TYPES) + 3)
    drawn = rng.choice(TYPES, (count, WORDS), p=chances / chances.sum())
    rows = (["".join(words[at] for at in row[start : start + ROW]) for start in range(0, WORDS, ROW)] for row in drawn)
    return ["、".join(some) for some in rows], words


def measured(folder: Path, name: str, said: list[str], asked: list[str], words: list[str]) -> str:
    """A line of the table: bytes, seconds to write, milliseconds of a query, and which share of the rows is found."""
    file = folder / f"{name}.sqlite"
    tokenizer = "trigram" if name == "trigrams" else OURS
    base = sqlite3.connect(file)
    base.execute(f'CREATE VIRTUAL TABLE words USING fts5(name, description, tokenize = "{tokenizer}")')
    begun = time.perf_counter()
    with base:
        spelt = (stored(text) if name == "pairs" else text for text in said)
        rows = ((stored(f"IMG_{number:05}.jpg"), text) for number, text in enumerate(spelt))
        base.executemany("INSERT INTO words VALUES (?, ?)", rows)
    writing = time.perf_counter() - begun
    found, begun = 0, time.perf_counter()
    for query in asked:
        count = base.execute("SELECT count(*) FROM words WHERE words MATCH ?", (query,)).fetchone()[0]
        found += count
    asking = (time.perf_counter() - begun) / len(asked) * 1000
    base.close()
    there = sum(word in text for word in words for text in said)
    return f"| {name} | {os.path.getsize(file) / 1e6:.1f} | {writing:.1f} | {asking:.2f} | {found / there:.1%} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    count = parser.parse_args().rows
    said, words = texts(np.random.default_rng(0), count)
    words = words[:200]
    quoted = [f'"{word}"' for word in words]
    print(f"{count:,} rows")
    print("| way | MB | s to write | ms a query | of the rows with a word, found |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, asked in (
            ("whole rows", [f"{word} *" for word in quoted]),
            ("trigrams", quoted),
            ("pairs", [expression(written(word)) for word in words]),
        ):
            print(measured(Path(folder), name, said, asked, words), flush=True)


if __name__ == "__main__":
    main()
