"""What a query finds by words, whichever engine has them.

The words of a query are looked up one by one, each in each column.  So it is known what share of them a photo has, and
where; and lists of photos cost far less than the rank of FTS5, which opens the row of every photo with any of the
words.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mmsearch.language.letters import plain
from mmsearch.language.stop_words import STOP_WORDS
from mmsearch.language.word_rates import word_rates
from mmsearch.store.sql.tables import WORDS
from mmsearch.store.types import WordHit
from mmsearch.store.words.names import file_name, has_words, name_parts, taken_apart
from mmsearch.store.words.ranking import PRIOR, WEIGHTS, Form, Having, Rows, WordLists, best, shares, sums
from mmsearch.store.words.spelling import expression, marked, pieces_of, stored, written
from mmsearch.types import Ids

BEGINS = 0.8  # what a word counts for that only begins as the query's does
APART = 0.8  # what the words of "IMG_2041" count for where they do not stand beside each other

FOLDER = 0.7  # what a word counts for in the name of a folder: it is said of all photos in there
MOST_NAMES = 1000  # of so many photos, the best ones, it is looked whether file or folder has a word; then: the folder
RATES = 1000  # times as many photos as ``PRIOR`` up to which it matters how common words are elsewhere

MOST_UNITS = 32  # of a query; what follows is not looked up
LONGEST_WORD = 64  # characters; what follows is not looked at
SMALL = 2000  # allowed pictures, in a library ten times as large, that are looked at one by one …
FEW = 100  # … and in any library
MORE = 2  # times as many photos as are wanted are looked at first: some cannot be found, or are copies
_SNIPPET = 24  # signs of a script without spaces, or a third as many words
_TITLES = {"name": "name", "description": "description", "caption": "caption", "ocr": "text", "tags": "tag"}

_POSSESSIVE = re.compile(r"['’]s\b", re.IGNORECASE)
_MARKED = re.compile("\1(.*?)\2", re.DOTALL)


@dataclass(frozen=True)
class Asked:
    """What a query looks for."""

    forms: list[Form]  # how its units may be written
    weights: NDArray[np.float64]  # of each unit
    units: list[tuple[str, ...]]  # the plain words of each


def find(
    lists: WordLists,
    text: str,
    model: int,
    allowed: Ids | None = None,
    limit: int = 1000,
    exact: bool = False,
    numbers: Callable[[Ids], Ids | None] = lambda _: None,
) -> list[WordHit]:
    """What ``Store.find_words`` returns; ``model`` is the id of a model.

    ``numbers`` gives ids of vectors for ids of photos, -1 where there is none, or None where it would have to look them
    up; then they are looked up here, as many as are needed.
    """
    if limit < 1 or (allowed is not None and not len(allowed)):
        return []
    asked = _meant(text, exact, lists)
    having = lists.of(asked.forms)
    if allowed is not None and len(allowed) <= max(FEW, min(SMALL, lists.photos / 10)):
        pairs = lists.files_of(allowed, model)
        return _hits(lists, pairs[:, 0].astype(np.int32), pairs[:, 1], asked, having, limit)
    share = 1.0 if allowed is None else min(1.0, len(allowed) / max(lists.photos, 1))
    count = math.ceil(MORE * limit / share)
    while True:
        rows = best(asked.forms, having, asked.weights, count)
        own = numbers(rows.astype(np.int64)) if allowed is not None or len(rows) > SMALL else None
        if own is None:
            own = lists.vectors_of(rows, model)
        there = own >= 0
        if allowed is not None:
            there &= _among(own, np.sort(allowed, kind="stable"))
        hits = _hits(lists, rows[there], own[there], asked, having, limit)
        if len(hits) == limit or len(rows) < count:
            return hits
        count *= MORE * MORE


def _hits(lists: WordLists, rows: Rows, numbers: Ids, asked: Asked, having: Having, limit: int) -> list[WordHit]:
    """The best of these photos, which ascend, with the ids of their vectors; those that have nothing are left out."""
    reached, having_columns = sums(rows, asked.forms, having, asked.weights)
    total = float(asked.weights.sum())
    first = np.sort(np.lexsort((rows, -np.round(reached, 9)))[: max(limit, MOST_NAMES)])
    first = first[reached[first] > 0]
    rows, numbers, having_columns = rows[first], numbers[first], having_columns[first]
    evidence, said, written = _places(lists, rows, asked, having)
    parts = np.round(np.minimum(np.stack([evidence, said, written]) / (total or 1.0), 1.0), 6).tolist()
    sums_, own, bits = np.round(evidence, 6).tolist(), numbers.tolist(), having_columns.tolist()
    names = {bits_: tuple(column for bit, column in enumerate(WORDS) if bits_ >> bit & 1) for bits_ in set(bits)}
    hits: dict[int, WordHit] = {}
    for at in np.lexsort((rows, -np.round(evidence, 9))).tolist():
        if len(hits) == limit:
            break
        if own[at] not in hits:  # of the files of a content the best one comes first
            score, of_said, of_written = (part[at] for part in parts)
            hits[own[at]] = WordHit(own[at], score, sums_[at], names[bits[at]], of_said, of_written)
    return list(hits.values())


def _places(
    lists: WordLists, rows: Rows, asked: Asked, having: Having
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """For each of these photos, which ascend, sums of the weights of the units that it has, (n,) each.

    Of all columns, each counting for what it is worth; of descriptions; and of descriptions, read text and names.
    """
    own = {column: shares(rows, asked.forms, having, column, len(asked.weights)) for column in WORDS}
    worth = np.full(own["name"].shape, FOLDER)
    written = np.maximum.reduce([own[column] for column in ("description", "ocr", "name")])
    whole = (written > 0).all(axis=0)  # only of these it may decide whether file or folder is named so
    named = np.flatnonzero(whole & (own["name"] > np.maximum(own["description"], own["ocr"])).any(axis=0))
    if len(named) > MOST_NAMES:
        named = named[np.argsort(-(asked.weights @ own["name"][:, named]), kind="stable")[:MOST_NAMES]]
    paths = lists.paths(rows[named])
    files = [file_name(os.fsdecode(paths[row])) for row in rows[named].tolist()]
    for unit, words in enumerate(asked.units):
        there = [at for at, has in zip(named.tolist(), has_words(files, words), strict=True) if has]
        worth[unit, there] = WEIGHTS["name"]  # where the column has none of the unit it counts for nothing anyway
    missing = 1 - worth * own["name"]
    for column in ("description", "ocr", "tags", "caption"):
        missing *= 1 - WEIGHTS[column] * own[column]
    weights = asked.weights
    return weights @ (1 - missing), weights @ own["description"], weights @ written


def reasons(
    lists: WordLists, text: str, numbers: Sequence[int], model: int, exact: bool = False
) -> dict[int, tuple[str, ...]]:
    """What ``Store.reasons`` returns; ``model`` is the id of a model."""
    forms = _meant(text, exact, lists).forms
    if not forms:
        return {}
    pages = lists.pages(numbers, model)
    rows = np.array(sorted({row for _, row, _ in pages}), np.int32)
    having = [some.has(rows) for some in lists.of(forms).values()]
    rows = rows[np.logical_or.reduce(having)] if having else rows[:0]
    if not len(rows):
        return {}
    marks = ", ".join(f"highlight(words, {column}, char(1), char(2))" for column in range(len(WORDS)))
    asked = " OR ".join(form.expression for form in forms)
    with lists.copied(rows.tolist()) as few:
        query = f"SELECT rowid, {marks} FROM words WHERE words MATCH ?"
        having_words = {row: [_marked(text) for text in own] for row, *own in few.execute(query, (asked,))}
    texts = lists.said(list(having_words))
    found: dict[int, dict[str, None]] = {}
    for number, row, path in pages:
        if row not in having_words:
            continue
        for column, words, text in zip(WORDS, having_words[row], texts[row], strict=True):
            if words:
                shown = _part_of_name(os.fsdecode(path), words) if column == "name" else excerpt(text, words)
                found.setdefault(number, {})[f"{_TITLES[column]}: {shown}"] = None
    return {number: tuple(said) for number, said in found.items()}


def _marked(text: str) -> set[str]:
    """The words that FTS5 has marked in a stored text."""
    return pieces_of(" ".join(_MARKED.findall(text)))


def _part_of_name(path: str, words: set[str]) -> str:
    """The file name, or else the folder, that has one of the words."""
    parts = name_parts(path)
    apart = (pieces_of(stored(f"{part} {taken_apart(part)}")) for part in parts)
    return next((part for part, own in zip(parts, apart, strict=True) if own & words), parts[0])


def excerpt(text: str, words: set[str]) -> str:
    """The part of a text that has most of these words, as they are stored; short, in one line."""
    pieces = marked(text, words)
    best, first, after = -1, 0, len(pieces)
    for at, (_, _, own) in enumerate(pieces):
        if own or at == 0:
            begin = end = max(0, at - 1)
            room, has = _SNIPPET, set[str]()
            while end < len(pieces) and room > 0:
                start, stop, some = pieces[end]
                room, end, has = room - min(3, stop - start), end + 1, has | some
            while end == len(pieces) and begin > 0 and room > 0:  # the end of the text: more of what is before
                begin -= 1
                room -= min(3, pieces[begin][1] - pieces[begin][0])
            if len(has) > best:
                best, first, after = len(has), begin, end
    start = pieces[first][0] if first else 0
    stop = pieces[after - 1][1] if after < len(pieces) else len(text)
    line = " ".join("".join(char if char.isprintable() else " " for char in text[start:stop]).split())
    return f"{'…' if first else ''}{line}{'…' if after < len(pieces) else ''}"


def _meant(text: str, exact: bool, lists: WordLists) -> Asked:
    """What a query looks for; a search asks several times."""
    return lists.cached.of(
        ("meant", text, exact), lambda: (_exact if exact else _forms)(text, lists), lambda _: len(text)
    )


def _exact(text: str, lists: WordLists) -> Asked:
    """All words of a text in their order, as one unit."""
    words = _words(text)
    asked = expression(words)
    if not asked:
        return Asked([], np.zeros(0), [])
    return Asked([Form(0, asked, 1.0)], np.array([lists.weight_above_zero(asked)]), [_plain(words)])


def _forms(text: str, lists: WordLists) -> Asked:
    """How the units of a query may be written, and the weight of each unit."""
    units = list(dict.fromkeys(words for chunk in _POSSESSIVE.sub("", text).split() if (words := tuple(_words(chunk)))))
    telling = [unit for unit in units if not STOP_WORDS.issuperset(plain(word) for word in unit)]
    asked = Asked([], np.zeros(0), [])
    weights: list[float] = []
    for unit in (telling or units)[:MOST_UNITS]:
        weight, own = _one_word(unit[0], len(weights), lists) if len(unit) == 1 else _joined(unit, len(weights), lists)
        if weight > 0:
            weights.append(weight)
            asked.forms.extend(own)
            asked.units.append(_plain(unit))
    return replace(asked, weights=np.array(weights))


def _plain(words: Iterable[str]) -> tuple[str, ...]:
    """Plain words, taken apart as names are."""
    return tuple(part for word in words for part in plain(taken_apart(word)).split())


def _rate(word: str, lists: WordLists) -> float:
    """The share of texts elsewhere that have a word; 0 where the library itself tells enough."""
    return word_rates().get(plain(word), 0.0) if lists.count < RATES * PRIOR else 0.0


def _words(text: str) -> list[str]:
    """The words of a query, cut where they are long, without those of which nothing is left when they are plain."""
    return [word[:LONGEST_WORD] for word in written(text) if plain(word)]


def _one_word(word: str, unit: int, lists: WordLists) -> tuple[float, list[Form]]:
    """A word as it is, taken apart ("IMG2041" is "IMG 2041" too), and as a beginning."""
    parts = _words(taken_apart(word))
    asked = [expression([word]), *([expression(parts)] if len(parts) > 1 else [])]
    weight = min(lists.weight(one, _rate(word, lists)) for one in asked)
    forms = [Form(unit, one, 1.0) for one in dict.fromkeys(asked)]
    # Words that nobody wrote may have been typed in part, and so may numbers.  Others are not taken for beginnings: a
    # cap is no captain.
    unknown = not any(lists.frequency(one) for one in asked)
    if (unknown and len(word) >= 3) or (len(word) >= 2 and word[-1].isdigit()):
        beginning = expression([word], begins=True)
        begun = lists.weight(beginning) if lists.frequency(beginning) else 0.0
        if unknown:
            weight = begun or weight
        if begun and weight:
            forms.append(Form(unit, beginning, BEGINS * min(begun / weight, 1.0)))
    return weight, forms


def _joined(words: Sequence[str], unit: int, lists: WordLists) -> tuple[float, list[Form]]:
    """Words beside each other, the last perhaps the beginning of a number, or apart from each other."""
    rarities = [lists.weight(expression([word]), _rate(word, lists)) for word in words]
    weight = sum(rarities) or lists.weight(expression(words))
    forms = [Form(unit, expression(words), 1.0)]
    if words[-1][-1].isdigit():
        forms.append(Form(unit, expression(words, begins=True), BEGINS))
    apart = [(word, own) for word, own in zip(words, rarities, strict=True) if own]
    return weight, forms + [Form(unit, expression([word]), APART * own / weight, True) for word, own in apart]


def _among(numbers: Ids, some: Ids) -> NDArray[np.bool_]:
    """Which of these are among some others, which ascend and are not none."""
    found: NDArray[np.bool_] = some[np.minimum(np.searchsorted(some, numbers), len(some) - 1)] == numbers
    return found
