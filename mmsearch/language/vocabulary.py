"""Words that pictures are tagged with: ``vocabulary.tsv``, or a person's own file.

A line is a tag, and after tabs, both optional, texts that say what is meant and tags that are right wherever this one
is; several of them are separated by ``|``::

    poodle
    bat (animal)<TAB>a bat hanging upside down|a flying bat<TAB>animal
    my cat<TAB>a black cat with a red collar<TAB>cat

A tag without texts is its own text.  Texts are what would stand after "a photo of".  Empty lines and lines that begin
with ``#`` are left out.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmsearch.errors import VocabularyError
from mmsearch.language.nouns import ARTICLES, find, tokenize, word_set
from mmsearch.media.filesystem import read_regular

LONGEST = 100  # characters of a tag
_APART = word_set("in with on of")  # both sides are there by themselves: "a man in a suit", "a bowl of soup"
_SOMEONE = word_set("person people child children someone")  # "a person surfing": the rest is what counts


@dataclass(frozen=True)
class Tag:
    """A word for what can be seen."""

    name: str
    texts: tuple[str, ...]  # at least one
    parents: tuple[str, ...] = ()  # names of tags that are right wherever this one is


@dataclass(frozen=True)
class Vocabulary:
    """Tags with different names, whose parents are among them and lead round in no circle."""

    tags: tuple[Tag, ...]

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(tag.name for tag in self.tags)

    @functools.cached_property
    def fingerprint(self) -> str:
        """16 hex digits over all of it."""
        said = json.dumps([astuple(tag) for tag in self.tags])
        return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    @functools.cached_property
    def implied(self) -> NDArray[np.bool_]:
        """Which tags (columns) are right wherever one (row) is, itself among them: (tags, tags)."""
        place = {name: number for number, name in enumerate(self.names)}
        found = np.eye(len(self.tags), dtype=np.bool_)
        for number, tag in enumerate(self.tags):
            waiting = list(tag.parents)
            while waiting:
                parent = place[waiting.pop()]
                if not found[number, parent]:
                    found[number, parent] = True
                    waiting.extend(self.tags[parent].parents)
        return found

    @functools.cached_property
    def _forms(self) -> dict[tuple[str, ...], set[int]]:
        """What tags are looked for by, in words, and the places of the tags."""
        forms: dict[tuple[str, ...], set[int]] = {}
        for number, tag in enumerate(self.tags):
            for text in (*(() if "(" in tag.name else (tag.name,)), *tag.texts):
                words = _words(text)
                if len(words) > 1 and words[0] in _SOMEONE:
                    words = words[1:]
                forms.setdefault(words, set()).add(number)
        return forms

    def named(self, text: str) -> list[str]:
        """The tags that a whole text is another way to say: "people" is the tag "person"."""
        return [self.names[number] for number in sorted(self._forms.get(_words(text), ()))]

    def mentioned(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """Which tags each text speaks of, with what they imply: (texts, tags).

        Of a tag its name (unless it has brackets) and its texts are looked for, without articles and a leading "a
        person", singular and plural alike.  "A hot dog" does not speak of a dog; "a man in a suit" does of a man.
        """
        longest = max(map(len, self._forms), default=0)
        found = np.zeros((len(texts), len(self.tags)), np.bool_)
        for row, text in zip(found, texts, strict=True):
            for number in _matches(_words(text), self._forms, longest):
                row |= self.implied[number]
        return found


def _words(text: str) -> tuple[str, ...]:
    """The words of a text without articles, nouns in the singular."""
    words = (token.word for token in tokenize(text))
    return tuple(_singular(word) for word in words if word not in ARTICLES and word[0].isalnum())


def _singular(word: str) -> str:
    known = None if "-" in word else find(word)
    return word.rstrip("s") or word if known is None else known[0].word


def _matches(words: tuple[str, ...], forms: dict[tuple[str, ...], set[int]], longest: int) -> Iterator[int]:
    """What the forms that occur stand for; none that lies inside a longer one that is one thing."""
    spent = 0  # words up to here belong to a compound
    for start in range(len(words)):
        for end in range(min(len(words), start + longest), start, -1):
            form = words[start:end]
            if form in forms and end > spent:
                yield from forms[form]
                if not _APART.intersection(form):
                    spent = end
                    break


def builtin() -> Vocabulary:
    """The vocabulary that ships."""
    return _builtin()


@functools.cache
def _builtin() -> Vocabulary:
    return parse(builtin_text().splitlines(), "vocabulary.tsv")


def builtin_text() -> str:
    """The file of the vocabulary that ships."""
    return (resources.files("mmsearch.language") / "vocabulary.tsv").read_text("utf-8")


def read(file: Path) -> Vocabulary:
    """A person's own vocabulary.  Raises VocabularyError, with the number of the line."""
    try:
        text = read_regular(file).decode("utf-8-sig")
    except OSError as error:
        raise VocabularyError(f"the vocabulary {file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise VocabularyError(f"{file}, line {line}: not UTF-8; save the vocabulary as UTF-8 text") from error
    return parse(re.split("\r\n|\r|\n", text), str(file))


def parse(lines: Iterable[str], source: str) -> Vocabulary:
    """The vocabulary in these lines; ``source`` stands before the line number in errors.  Raises VocabularyError."""
    tags: list[Tag] = []
    seen: dict[str, int] = {}  # name, as it is compared -> number of its line
    parents: list[tuple[int, int, list[str]]] = []  # place of the tag, number of its line, what it says
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        where = f"{source}, line {number}"
        tag, above = _tag(line, where)
        key = comparable(tag.name)
        if key in seen:
            raise VocabularyError(f"{where}: the tag {tag.name!r} stands in line {seen[key]} already; remove one")
        seen[key] = number
        parents.append((len(tags), number, above))
        tags.append(tag)
    if not tags:
        raise VocabularyError(f"{source} has no tags; write one a line")
    names = {comparable(tag.name): tag.name for tag in tags}
    for place, number, above in parents:
        for parent in above:
            if comparable(parent) not in names:
                raise VocabularyError(
                    f"{source}, line {number}: the parent {parent!r} of {tags[place].name!r} is no tag of this "
                    "vocabulary; give it a line of its own"
                )
        named = tuple(dict.fromkeys(names[comparable(parent)] for parent in above))
        tags[place] = Tag(tags[place].name, tags[place].texts, named)
    _no_circles(tags, [number for _, number, _ in parents], source)
    return Vocabulary(tuple(tags))


def comparable(name: str) -> str:
    """Names that are the same to a person, such as "Dog" and "dog", are the same here."""
    return " ".join(unicodedata.normalize("NFC", name).casefold().split())


def _tag(line: str, where: str) -> tuple[Tag, list[str]]:
    """One line: the tag without parents, and what it says of these."""
    fields = line.split("\t")
    if len(fields) > 3:
        raise VocabularyError(
            f"{where}: {len(fields)} fields between tabs; wanted are a tag, its texts and its parents at most"
        )
    name, texts, above = (_parts(fields[0], ""), *(_parts(field, "|") for field in (*fields[1:], "", "")[:2]))
    if not name:
        raise VocabularyError(f"{where}: there is no tag before the first tab")
    for word in (*name, *texts, *above):
        odd = next((char for char in word if not char.isprintable()), None)
        if odd is not None:
            raise VocabularyError(f"{where}: the character {odd!r} cannot be part of a tag or text")
    if len(name[0]) > LONGEST:
        raise VocabularyError(f"{where}: a tag has at most {LONGEST} characters, this one {len(name[0])}")
    return Tag(name[0], tuple(dict.fromkeys(texts)) or (name[0],)), above


def _parts(field: str, separator: str) -> list[str]:
    parts = field.split(separator) if separator else [field]
    return [tidy for part in parts if (tidy := " ".join(part.split()))]


def _no_circles(tags: Sequence[Tag], lines: Sequence[int], source: str) -> None:
    """Raises VocabularyError for a tag that is above itself."""
    above = {tag.name: tag.parents for tag in tags}
    for tag, line in zip(tags, lines, strict=True):
        seen: set[str] = set()
        waiting = [tag.name]
        while waiting:
            name = waiting.pop()
            if tag.name in above[name]:
                way = "itself" if name == tag.name else repr(name)
                raise VocabularyError(
                    f"{source}, line {line}: the tag {tag.name!r} is above itself, by way of {way}; take one of the "
                    "parents away"
                )
            fresh = set(above[name]) - seen
            seen |= fresh
            waiting.extend(fresh)
