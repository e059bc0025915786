"""Full-text search over what is written about photos: names, descriptions, captions, read text, tags.

The FTS5 table ``words`` has a row per photo.  What stands in it is worked out from the other tables (``rebuild``) in
the transaction that changes them.

The words of a query are looked up one by one, each in each column.  So it is known what share of them a photo has, and
where; and lists of photos cost far less than the rank of FTS5, which opens the row of every photo with any of the
words.
"""

from __future__ import annotations

import json
import math
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from mmsearch.records import Ids
from mmsearch.store.names import name_parts, name_words, taken_apart
from mmsearch.store.stop_words import STOP_WORDS
from mmsearch.store.tables import WORDS

# What a word counts for by where it is.  People wrote names, descriptions and what can be read in a picture; tags and
# captions are guesses of a model.
WEIGHTS = {"name": 1.0, "description": 1.0, "ocr": 1.0, "tags": 0.7, "caption": 0.4}
BEGINS = 0.8  # what a word counts for that only begins as the query's does
APART = 0.8  # what the words of "IMG_2041" count for where they do not stand beside each other

MOST_UNITS = 32  # of a query; what follows is not looked up
LONGEST_WORD = 64  # characters; what follows is not looked at
FEW = 20  # photos; in a larger library a word that more than half of the photos have says nothing
LONG = 10_000  # photos with a word in one column, above which not all of them are listed where that can be avoided
_WINDOWS, _SHARE = 16, 16  # to estimate how many have a common word: so many stretches of the table, 1/16 of it in all
_SNIPPET = 8  # words
_STRONG = "name description ocr"
_TITLES = {"name": "name", "description": "description", "caption": "caption", "ocr": "text", "tags": "tag"}

_TOKEN = re.compile(r"[^\W_]+")  # letters and digits, as FTS5's unicode61 has them
_POSSESSIVE = re.compile(r"['’]s\b", re.IGNORECASE)
_MARKED = re.compile("\1(.*?)\2", re.DOTALL)


@dataclass(frozen=True)
class WordHit:
    """A picture that has words of a query."""

    number: int  # id of its vector
    score: float  # in [0, 1]: the share of the query's words that it has, weighted by how rare they are and where it is
    evidence: float  # the same as a sum of weights, logarithms of rarity: of a common word it is low even at score 1
    columns: tuple[str, ...]  # where they were found, of ``tables.WORDS``


@dataclass(frozen=True)
class _Form:
    """One way in which a unit of a query is written: all that stands between two spaces, a word or IMG_2041."""

    unit: int
    expression: str  # of FTS5: a word or a phrase, perhaps only its beginning
    share: float  # of the unit's weight
    adds: bool = False  # the shares of such forms add up; of the others the best one counts


# Keeping in step


def rebuild(connection: Connection, photos: Iterable[int], contents: Iterable[int]) -> None:
    """Write anew what ``words`` says of these photos, and of all photos that have these contents.

    ``connection`` needs the SQL function name_words: ``path_words``.
    """
    connection.exec_driver_sql(
        "INSERT OR REPLACE INTO words (rowid, name, description, caption, ocr, tags) "
        "SELECT photos.id, name_words(photos.path), "
        "trim(coalesce(contents.description, '') || char(10) || coalesce(sidecars.text, ''), char(10)), "
        "coalesce(captions.text, ''), coalesce(ocr.text, ''), "
        "coalesce((SELECT group_concat(tag, ', ') FROM tags WHERE tags.content_id = photos.content_id), '') "
        "FROM photos LEFT JOIN contents ON contents.id = photos.content_id "
        "LEFT JOIN sidecars ON sidecars.photo_id = photos.id "
        "LEFT JOIN captions ON captions.content_id = photos.content_id "
        "LEFT JOIN ocr ON ocr.content_id = photos.content_id "
        "WHERE photos.id IN (SELECT value FROM json_each(?)) "
        "OR photos.content_id IN (SELECT value FROM json_each(?))",
        (json.dumps(sorted(photos)), json.dumps(sorted(contents))),
    )


def path_words(path: bytes) -> str:
    """The words of a stored path."""
    return name_words(os.fsdecode(path))


# What a query finds


def find(
    connection: Connection, text: str, model: int, allowed: Ids | None = None, limit: int = 1000, exact: bool = False
) -> list[WordHit]:
    """What ``Store.find_words`` returns; ``model`` is the id of a model."""
    if limit < 1 or (allowed is not None and not len(allowed)):
        return []
    table = _Table(connection)
    forms, weights = _exact(text, table) if exact else _forms(text, table)
    lists = table.lists(forms, None if exact or allowed is not None else limit)
    rows = np.unique(np.concatenate([np.zeros(0, np.int64), *lists.values()]))
    sums, places = _sums(rows, forms, lists, weights)
    order = np.lexsort((rows, -sums))
    total = float(weights.sum())
    hits: dict[int, WordHit] = {}
    for at, number in _numbers(connection, rows, order, model, allowed):
        if number in hits:  # of the files of a content the best one comes first
            continue
        columns = tuple(column for bit, column in enumerate(WORDS) if places[at] >> bit & 1)
        evidence = float(sums[at])
        hits[number] = WordHit(number, round(min(evidence / total, 1.0), 6), round(evidence, 6), columns)
        if len(hits) == limit:
            break
    return list(hits.values())


def reasons(
    connection: Connection, text: str, numbers: Sequence[int], model: int, exact: bool = False
) -> dict[int, tuple[str, ...]]:
    """What ``Store.reasons`` returns; ``model`` is the id of a model."""
    table = _Table(connection)
    forms, _ = _exact(text, table) if exact else _forms(text, table)
    if not forms:
        return {}
    snippets = ", ".join(
        f"CASE WHEN instr(highlight(words, {column}, char(1), ''), char(1)) "
        f"THEN snippet(words, {column}, char(1), char(2), '…', {_SNIPPET}) END"
        for column in range(len(WORDS))
    )
    found: dict[int, dict[str, None]] = {}
    for number, row, path in connection.exec_driver_sql(
        "SELECT embeddings.id, photos.id, photos.path FROM json_each(?) "
        "JOIN embeddings ON embeddings.id = value AND embeddings.model_id = ? "
        "JOIN photos ON photos.content_id = embeddings.content_id WHERE photos.state = 'ok' ORDER BY photos.path",
        (json.dumps([int(number) for number in numbers]), model),
    ).all():
        marked = connection.exec_driver_sql(
            f"SELECT {snippets} FROM words WHERE words MATCH ? AND rowid = ?",
            (" OR ".join(form.expression for form in forms), row),
        ).one_or_none()
        for column, snippet in zip(WORDS, marked or (), strict=False):
            if snippet is not None:
                shown = _part_of_name(os.fsdecode(path), snippet) if column == "name" else _plain(snippet)
                found.setdefault(number, {})[f"{_TITLES[column]}: {shown}"] = None
    return {number: tuple(said) for number, said in found.items()}


def _part_of_name(path: str, snippet: str) -> str:
    """The file name, or else the folder, that has one of the marked words."""
    words = [word.casefold() for word in _MARKED.findall(snippet)]
    parts = name_parts(path)
    return next((part for part in parts if any(word in part.casefold() for word in words)), parts[0])


def _plain(snippet: str) -> str:
    text = snippet.replace("\1", "").replace("\2", "")
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _tokens(text: str) -> list[str]:
    readable = text.encode("utf-8", "ignore").decode()  # without lone surrogates, which SQLite does not take
    return [token[:LONGEST_WORD] for token in _TOKEN.findall(unicodedata.normalize("NFC", readable))]


def _phrase(tokens: Sequence[str]) -> str:
    return '"' + " ".join(tokens) + '"'


def _exact(text: str, table: _Table) -> tuple[list[_Form], NDArray[np.float64]]:
    """All words of a text in their order, as one unit."""
    tokens = _tokens(text)
    if not tokens:
        return [], np.zeros(0)
    return [_Form(0, _phrase(tokens), 1.0)], np.array([table.weight(_phrase(tokens))])


def _forms(text: str, table: _Table) -> tuple[list[_Form], NDArray[np.float64]]:
    """How the units of a query may be written, and the weight of each unit."""
    written = [tokens for chunk in _POSSESSIVE.sub("", text).split() if (tokens := tuple(_tokens(chunk)))]
    units = list(dict.fromkeys(written))
    telling = [unit for unit in units if not STOP_WORDS.issuperset(token.lower() for token in unit)]
    forms: list[_Form] = []
    weights: list[float] = []
    for unit in (telling or units)[:MOST_UNITS]:
        weight, own = _one_word(unit[0], len(weights), table) if len(unit) == 1 else _joined(unit, len(weights), table)
        if weight > 0:
            weights.append(weight)
            forms += own
    return forms, np.array(weights)


def _one_word(word: str, unit: int, table: _Table) -> tuple[float, list[_Form]]:
    """A word as it is, taken apart ("IMG2041" is "IMG 2041" too), and as a beginning."""
    parts = _tokens(taken_apart(word))
    written = [_phrase([word]), *([_phrase(parts)] if len(parts) > 1 else [])]
    weight = min(table.rarity(expression) for expression in written)
    forms = [_Form(unit, expression, 1.0) for expression in written]
    # Words that nobody wrote may have been typed in part, and so may numbers.  Others are not taken for beginnings: a
    # cap is no captain.
    unknown = weight == table.rarity_of(0)
    if (unknown and len(word) >= 3) or (len(word) >= 2 and word[-1].isdigit()):
        rarity = table.rarity(_phrase([word]) + " *")
        if unknown:
            weight = rarity or weight
        if rarity:
            forms.append(_Form(unit, _phrase([word]) + " *", BEGINS * min(rarity / weight, 1.0) if weight else 0.0))
    return weight, forms


def _joined(tokens: Sequence[str], unit: int, table: _Table) -> tuple[float, list[_Form]]:
    """Words beside each other, the last perhaps the beginning of a number, or apart from each other."""
    rarities = [table.rarity(_phrase([token])) for token in tokens]
    weight = sum(rarities) or table.rarity(_phrase(tokens))
    forms = [_Form(unit, _phrase(tokens), 1.0)]
    if tokens[-1][-1].isdigit():
        forms.append(_Form(unit, _phrase(tokens) + " *", BEGINS))
    apart = [(token, rarity) for token, rarity in zip(tokens, rarities, strict=True) if rarity]
    return weight, forms + [_Form(unit, _phrase([token]), APART * rarity / weight, True) for token, rarity in apart]


def _sums(
    rows: Ids, forms: Sequence[_Form], lists: Mapping[tuple[int, str], Ids], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """For each row the sum of the weights of what it has, and a bit for each column where it has any; both (n,)."""
    sums, places = np.zeros(len(rows)), np.zeros(len(rows), np.int64)
    best, added = np.zeros((len(weights), len(rows))), np.zeros((len(weights), len(rows)))
    for number, form in enumerate(forms):
        share = np.zeros(len(rows))
        for bit, column in enumerate(WORDS):
            if (number, column) in lists:
                at = np.searchsorted(rows, lists[number, column])
                share[at] = np.maximum(share[at], form.share * WEIGHTS[column])
                places[at] |= 1 << bit
        if form.adds:
            added[form.unit] += share
        else:
            best[form.unit] = np.maximum(best[form.unit], share)
    for weight, one, several in zip(weights, best, added, strict=False):
        sums += weight * np.maximum(one, several)
    return sums, places


def _numbers(
    connection: Connection, rows: Ids, order: NDArray[np.intp], model: int, allowed: Ids | None
) -> Iterator[tuple[int, int]]:
    """(place in ``rows``, id of the vector) of the photos that can be found and are allowed, in this order."""
    if allowed is not None:
        allowed = np.unique(allowed)
    size = 2000  # few are wanted at first; where hardly any is allowed, larger bites are cheaper
    while len(order):
        bite, order = order[:size], order[size:]
        size *= 2
        pairs = connection.exec_driver_sql(
            "SELECT photos.id, embeddings.id FROM json_each(?) JOIN photos ON photos.id = value "
            "JOIN embeddings ON embeddings.content_id = photos.content_id AND embeddings.model_id = ? "
            "WHERE photos.state = 'ok'",
            (json.dumps(rows[bite].tolist()), model),
        ).all()
        found: dict[int, int] = {row: number for row, number in pairs}  # noqa: C416 - rows are no tuples to mypy
        if allowed is not None:
            numbers = np.fromiter(found.values(), np.int64, len(found))
            there = allowed[np.minimum(np.searchsorted(allowed, numbers), len(allowed) - 1)] == numbers
            found = {row: number for (row, number), one in zip(found.items(), there, strict=True) if one}
        for at in bite.tolist():
            number = found.get(int(rows[at]))
            if number is not None:
                yield at, number


class _Table:
    """The lists of FTS5: which photos have what."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.size = int(connection.exec_driver_sql("SELECT coalesce(max(id), 0) FROM photos").scalar_one())

    def rarity(self, expression: str) -> float:
        """The weight of a word or phrase; 0 where it says nothing, because most photos have it."""
        have = self._frequency(expression)
        return 0.0 if self.size >= FEW and have > self.size / 2 else self.rarity_of(have)

    def weight(self, expression: str) -> float:
        """The same, but above 0."""
        return self.rarity_of(self._frequency(expression))

    def rarity_of(self, have: int) -> float:
        """The logarithm of how many photos there are for each that has it: idf of BM25, in Lucene's form, above 0."""
        return math.log(1 + (max(self.size - have, 0) + 0.5) / (have + 0.5))

    def _frequency(self, expression: str) -> int:
        """How many photos have it: counted up to ``LONG``, above estimated to a few percent."""
        count = "SELECT count(*) FROM words WHERE words MATCH ? AND rowid BETWEEN ? AND ?"
        capped = f"SELECT count(*) FROM (SELECT 1 FROM words WHERE words MATCH ? LIMIT {LONG + 1})"
        have = int(self._connection.exec_driver_sql(capped, (expression,)).scalar_one())
        if have <= LONG:
            return have
        step = max(self.size // _WINDOWS, 1)
        seen = sum(
            int(
                self._connection.exec_driver_sql(
                    count, (expression, start + 1, start + max(step // _SHARE, 1))
                ).scalar_one()
            )
            for start in range(0, step * _WINDOWS, step)
        )
        return min(max(seen * _SHARE, have), self.size)

    def _ids(self, expression: str, limit: int | None = None, last: int | None = None) -> Ids:
        """The photos that have it, ascending; the first ``limit`` of them, or those up to ``last``."""
        # One string instead of a row each: several times faster.
        joined = self._connection.exec_driver_sql(
            "SELECT group_concat(rowid) FROM (SELECT rowid FROM words WHERE words MATCH ? AND rowid <= ? LIMIT ?)",
            (expression, 2**62 if last is None else last, -1 if limit is None else limit),
        ).scalar_one()
        return np.fromstring(joined, np.int64, sep=",") if joined else np.zeros(0, np.int64)

    def lists(self, forms: Sequence[_Form], limit: int | None) -> dict[tuple[int, str], Ids]:
        """(form, column) -> the photos that have it there, ascending; without ``limit``, all of them.

        With ``limit``, lists longer than LONG are cut to the photos in any of the shorter lists, and where those are
        fewer than ``limit``, some that have several of the common words, then some that have one.
        """
        found: dict[tuple[int, str], Ids] = {}
        long: list[tuple[int, str]] = []
        for number, form in enumerate(forms):
            strong = len(self._ids(f"{{{_STRONG}}} : {form.expression}", 1)) > 0
            for column in WORDS:
                if not strong and column in _STRONG.split():
                    continue
                ids = self._ids(_in(column, form), None if limit is None else LONG + 1)
                if limit is not None and len(ids) > LONG:
                    long.append((number, column))
                elif len(ids):
                    found[number, column] = ids
        if limit is None or not long:
            return found
        have = len(np.unique(np.concatenate([np.zeros(0, np.int64), *found.values()])))
        scopes = {(number, column): _in(column, forms[number]) for number, column in [*found, *long]}
        short = " OR ".join(scopes[key] for key in found)
        units: dict[int, list[str]] = {}
        for number, column in long:
            units.setdefault(forms[number].unit, []).append(scopes[number, column])
        sources = [" AND ".join(f"({' OR '.join(own)})" for own in units.values())] if len(units) > 1 else []
        sources += [scopes[key] for key in sorted(long, key=lambda key: -forms[key[0]].share * WEIGHTS[key[1]])]
        if short:
            self._complete(found, long, scopes, short, None)
        for source in sources:
            if have >= limit:
                break
            some = self._ids(source, limit)
            if len(some):
                self._complete(found, long, scopes, source, int(some[-1]))
                have = len(np.unique(np.concatenate(list(found.values()))))
        return found

    def _complete(
        self,
        found: dict[tuple[int, str], Ids],
        long: Sequence[tuple[int, str]],
        scopes: Mapping[tuple[int, str], str],
        source: str,
        last: int | None,
    ) -> None:
        """Which of the photos that have ``source`` are in the long lists."""
        for key in long:
            some = self._ids(f"({scopes[key]}) AND ({source})", None, last)
            found[key] = np.union1d(found[key], some) if key in found else some


def _in(column: str, form: _Form) -> str:
    return f"{{{column}}} : {form.expression}"
