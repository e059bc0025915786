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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection
from sqlalchemy.exc import DatabaseError

from mmsearch.records import Ids
from mmsearch.store.names import name_parts, name_words, taken_apart
from mmsearch.store.stop_words import STOP_WORDS
from mmsearch.store.tables import WORDS
from mmsearch.store.word_lists import WEIGHTS, Form, Lists, Rarity, copied, merged

BEGINS = 0.8  # what a word counts for that only begins as the query's does
APART = 0.8  # what the words of "IMG_2041" count for where they do not stand beside each other

MOST_UNITS = 32  # of a query; what follows is not looked up
LONGEST_WORD = 64  # characters; what follows is not looked at
SMALL = 2000  # allowed pictures whose words are looked at alone, rather than the lists of all
_SNIPPET = 8  # words
_TITLES = {"name": "name", "description": "description", "caption": "caption", "ocr": "text", "tags": "tag"}

_TOKEN = re.compile(r"[^\W_]+")  # letters and digits, as FTS5's unicode61 has them
_UNSPACED = "\u2e80"  # from here on lie the scripts that put no spaces between words, in which a token is a sentence
_POSSESSIVE = re.compile(r"['’]s\b", re.IGNORECASE)
_MARKED = re.compile("\1(.*?)\2", re.DOTALL)


@dataclass(frozen=True)
class WordHit:
    """A picture that has words of a query."""

    number: int  # id of its vector
    score: float  # in [0, 1]: the share of the query's words that it has, weighted by how rare they are and where it is
    evidence: float  # the same as a sum of weights, logarithms of rarity: of a common word it is low even at score 1
    columns: tuple[str, ...]  # where they were found, of ``tables.WORDS``


# Keeping in step


_SAID = (
    "SELECT photos.id AS photo, name_words(photos.path) AS name, "
    "trim(coalesce(contents.description, '') || char(10) || coalesce(sidecars.text, ''), char(10)) AS description, "
    "coalesce(captions.text, '') AS caption, coalesce(ocr.text, '') AS ocr, "
    "coalesce((SELECT group_concat(tag, ', ') FROM tags WHERE tags.content_id = photos.content_id), '') AS tags "
    "FROM photos LEFT JOIN contents ON contents.id = photos.content_id "
    "LEFT JOIN sidecars ON sidecars.photo_id = photos.id "
    "LEFT JOIN captions ON captions.content_id = photos.content_id "
    "LEFT JOIN ocr ON ocr.content_id = photos.content_id "
)
_WRITE = f"INSERT OR REPLACE INTO words (rowid, {', '.join(WORDS)}) {_SAID}"


def rebuild(connection: Connection, photos: Iterable[int], contents: Iterable[int]) -> None:
    """Write anew what ``words`` says of these photos, and of all photos that have these contents.

    ``connection`` needs the SQL function name_words: ``path_words``.
    """
    connection.exec_driver_sql(
        _WRITE + "WHERE photos.id IN (SELECT value FROM json_each(?)) "
        "OR photos.content_id IN (SELECT value FROM json_each(?))",
        (json.dumps(sorted(photos)), json.dumps(sorted(contents))),
    )


def anew(connection: Connection) -> None:
    """Make the table ``words`` anew, whatever state it is in."""
    table = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE name = 'words'").scalar_one()
    connection.exec_driver_sql("DROP TABLE words")
    connection.exec_driver_sql(table)
    connection.exec_driver_sql(_WRITE)


def sound(connection: Connection) -> bool:
    """Whether FTS5 finds its own tables in order; also where it may not look now."""
    try:
        connection.exec_driver_sql("INSERT INTO words (words) VALUES ('integrity-check')")
    except DatabaseError as error:
        return any(reason in str(error.orig) for reason in ("locked", "readonly", "read-only"))
    return True


def stale(connection: Connection) -> int:
    """Of how many photos that can be found ``words`` says something else than the other tables."""
    columns = ", ".join(f"words.{name}" for name in WORDS)
    said = ", ".join(f"said.{name}" for name in WORDS)
    count: int = connection.exec_driver_sql(
        f"SELECT count(*) FROM ({_SAID} WHERE photos.state = 'ok') AS said "
        f"JOIN words ON words.rowid = said.photo WHERE ({columns}) <> ({said})"
    ).scalar_one()
    return count


def path_words(path: bytes) -> str:
    """The words of a stored path."""
    return name_words(os.fsdecode(path))


# What a query finds


def find(
    connection: Connection,
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
    rarity = Rarity(connection)
    forms, weights = _exact(text, rarity) if exact else _forms(text, rarity)
    if allowed is not None and len(allowed) <= SMALL < rarity.photos / 10:
        with copied(connection, allowed) as few:
            lists = Lists(few).of(forms)
    elif exact:
        lists = Lists(connection).of(forms)
    else:
        likely = 1.0 if allowed is None else min(1.0, len(allowed) / max(rarity.photos, 1))
        lists = Lists(connection).of(forms, math.ceil(limit / likely))
    rows = merged(lists.values())
    sums, places = _sums(rows, forms, lists, weights)
    order = np.lexsort((rows, -sums))
    total = float(weights.sum())
    hits: dict[int, WordHit] = {}
    known = numbers(rows)
    found = _numbers(connection, rows, order, model, allowed) if known is None else _chosen(known, order, allowed)
    for at, number in found:
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
    rarity = Rarity(connection)
    forms, _ = _exact(text, rarity) if exact else _forms(text, rarity)
    if not forms:
        return {}
    snippets = ", ".join(
        f"CASE WHEN instr(highlight(words, {column}, char(1), ''), char(1)) "
        f"THEN snippet(words, {column}, char(1), char(2), '…', {_SNIPPET}) END"
        for column in range(len(WORDS))
    )
    pages = connection.exec_driver_sql(
        "SELECT embeddings.id, photos.id, photos.path FROM json_each(?) "
        "CROSS JOIN embeddings ON embeddings.id = value AND embeddings.model_id = ? "
        "CROSS JOIN photos ON photos.content_id = embeddings.content_id "
        "WHERE +photos.state = 'ok' ORDER BY photos.path",  # the plus keeps SQLite from taking the index on states
        (json.dumps([int(number) for number in numbers]), model),
    ).all()
    with copied(connection, np.array(numbers, np.int64)) as few:
        query = f"SELECT rowid, {snippets} FROM words WHERE words MATCH ?"
        marked = {row: own for row, *own in few.execute(query, (" OR ".join(form.expression for form in forms),))}
    found: dict[int, dict[str, None]] = {}
    for number, row, path in pages:
        for column, snippet in zip(WORDS, marked.get(row, [None] * len(WORDS)), strict=True):
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


def _exact(text: str, rarity: Rarity) -> tuple[list[Form], NDArray[np.float64]]:
    """All words of a text in their order, as one unit."""
    tokens = _tokens(text)
    if not tokens:
        return [], np.zeros(0)
    return [Form(0, _phrase(tokens), 1.0)], np.array([rarity.above_zero(_phrase(tokens))])


def _forms(text: str, rarity: Rarity) -> tuple[list[Form], NDArray[np.float64]]:
    """How the units of a query may be written, and the weight of each unit."""
    written = [tokens for chunk in _POSSESSIVE.sub("", text).split() if (tokens := tuple(_tokens(chunk)))]
    units = list(dict.fromkeys(written))
    telling = [unit for unit in units if not STOP_WORDS.issuperset(token.lower() for token in unit)]
    forms: list[Form] = []
    weights: list[float] = []
    for unit in (telling or units)[:MOST_UNITS]:
        weight, own = (
            _one_word(unit[0], len(weights), rarity) if len(unit) == 1 else _joined(unit, len(weights), rarity)
        )
        if weight > 0:
            weights.append(weight)
            forms += own
    return forms, np.array(weights)


def _one_word(word: str, unit: int, rarity: Rarity) -> tuple[float, list[Form]]:
    """A word as it is, taken apart ("IMG2041" is "IMG 2041" too), and as a beginning."""
    parts = _tokens(taken_apart(word))
    written = [_phrase([word]), *([_phrase(parts)] if len(parts) > 1 else [])]
    weight = min(rarity.of(expression) for expression in written)
    forms = [Form(unit, expression, 1.0) for expression in written]
    # Words that nobody wrote may have been typed in part, and so may numbers.  Others are not taken for beginnings: a
    # cap is no captain.
    unknown = weight == rarity.of_count(0)
    if (unknown and (len(word) >= 3 or word[0] >= _UNSPACED)) or (len(word) >= 2 and word[-1].isdigit()):
        begun = rarity.of(_phrase([word]) + " *")
        if unknown:
            weight = begun or weight
        if begun and weight:
            forms.append(Form(unit, _phrase([word]) + " *", BEGINS * min(begun / weight, 1.0)))
    return weight, forms


def _joined(tokens: Sequence[str], unit: int, rarity: Rarity) -> tuple[float, list[Form]]:
    """Words beside each other, the last perhaps the beginning of a number, or apart from each other."""
    rarities = [rarity.of(_phrase([token])) for token in tokens]
    weight = sum(rarities) or rarity.of(_phrase(tokens))
    forms = [Form(unit, _phrase(tokens), 1.0)]
    if tokens[-1][-1].isdigit():
        forms.append(Form(unit, _phrase(tokens) + " *", BEGINS))
    apart = [(token, own) for token, own in zip(tokens, rarities, strict=True) if own]
    return weight, forms + [Form(unit, _phrase([token]), APART * own / weight, True) for token, own in apart]


def _sums(
    rows: Ids, forms: Sequence[Form], lists: Mapping[tuple[int, str], Ids], weights: NDArray[np.float64]
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


def _chosen(numbers: Ids, order: NDArray[np.intp], allowed: Ids | None) -> Iterator[tuple[int, int]]:
    """What ``_numbers`` gives, where the ids of the vectors of all rows are known; (n,), -1 where there is none."""
    there = numbers >= 0
    if allowed is not None:
        there &= _among(numbers, merged([allowed]))
    chosen = order[there[order]]
    yield from zip(chosen.tolist(), numbers[chosen].tolist(), strict=True)


def _among(numbers: Ids, some: Ids) -> NDArray[np.bool_]:
    """Which of these are among some others, which ascend and are not none."""
    found: NDArray[np.bool_] = some[np.minimum(np.searchsorted(some, numbers), len(some) - 1)] == numbers
    return found


def _numbers(
    connection: Connection, rows: Ids, order: NDArray[np.intp], model: int, allowed: Ids | None
) -> Iterator[tuple[int, int]]:
    """(place in ``rows``, id of the vector) of the photos that can be found and are allowed, in this order."""
    if allowed is not None:
        allowed = merged([allowed])
    size = 2000  # few are wanted at first; where hardly any is allowed, larger bites are cheaper
    while len(order):
        bite, order = order[:size], order[size:]
        size *= 2
        pairs = connection.exec_driver_sql(
            "SELECT photos.id, embeddings.id FROM json_each(?) CROSS JOIN photos ON photos.id = value "
            "CROSS JOIN embeddings ON embeddings.content_id = photos.content_id AND embeddings.model_id = ? "
            "WHERE photos.state = 'ok'",
            (json.dumps(rows[bite].tolist()), model),
        ).all()
        found: dict[int, int] = {row: number for row, number in pairs}  # noqa: C416 - rows are no tuples to mypy
        if allowed is not None:
            there = _among(np.fromiter(found.values(), np.int64, len(found)), allowed)
            found = {row: number for (row, number), one in zip(found.items(), there, strict=True) if one}
        for at in bite.tolist():
            number = found.get(int(rows[at]))
            if number is not None:
                yield at, number
