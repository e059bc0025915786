"""Words for things that can be seen in a photo, and the noun phrases of a caption.

The words are those of ``nouns.tsv``, made from WordNet 3.0 by ``mmsearch/training/shipped/nouns.py``.  The phrases are
found by rules that would rather miss one than take a verb for a thing.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True)
class Noun:
    """A word for a thing, with what WordNet knows of it."""

    word: str
    kind: str  # such as person, animal, clothing, vehicle, place
    plural: str  # empty where it is not counted: "water"
    synonyms: tuple[str, ...]
    above: tuple[str, ...]  # hypernyms, the nearest first


@dataclass(frozen=True)
class Token:
    """A word or mark of a text, ``text[start:end]``."""

    word: str  # in lower case
    start: int
    end: int


@dataclass(frozen=True)
class Phrase:
    """A noun with what stands before it: tokens ``start`` to ``head``, the noun being the last one."""

    start: int
    head: int
    noun: Noun
    several: bool  # the noun is a plural


def word_set(text: str) -> frozenset[str]:
    """The words of a text, for long lists of them."""
    return frozenset(text.split())


ARTICLES = frozenset(["a", "an", "the"])
DETERMINERS = ARTICLES | word_set(
    """
    his her its their my your our this that these those some several many few another other each every one both all
    any no various multiple
    """
)
NUMBERS = {
    "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
}  # fmt: skip
PREPOSITIONS = word_set(
    """
    about above across after against along alongside amid among amongst around as at atop before behind below
    beneath beside besides between beyond by down during for from in inside into like near of off on onto opposite
    out outside over past through throughout to toward towards under underneath up upon via with within without
    """
)
FUNCTION = PREPOSITIONS | word_set(
    """
    and or but while whilst as who whom which that where when then than so because if is are was were be been being
    am has have had does do did can will he she it they him them i we you there here not himself herself itself
    themselves away together next front top what how whose
    """
)
# Plurals in the list that are verbs when they follow a single thing: "the boy swings".
VERBS = word_set(
    """
    swings waves trails paddles brushes ducks slides skis dresses bats nets ties hoses watches bows rains snows
    signs pictures surfaces boards tackles kites rafts hurdles masks trains tags skates fishes flies rides drinks
    parks crosses skateboards snowboards bikes kayaks canoes stages paints tracks smokes plants handles heads faces
    eyes hands backs noses shoulders shoots rocks rolls tapes rests cooks sails bounds beams fires buses docks
    grills guards guides cuts mans tires irons cranes towers pools circles bubbles pitches hammers ships boxes
    """
)
# After a noun these make it say what something else is like: "snow covered rocks".
DESCRIBED = word_set("covered lined filled shaped colored coloured sized haired skinned printed themed")
COLOURS = word_set(
    """
    red blue green yellow orange purple pink brown black white gray grey tan beige gold silver golden
    """
)
ALWAYS_SEVERAL = frozenset(["police", "cattle", "people"])
WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*|['’]s\b|[^\w\s]|_")


@functools.cache
def nouns() -> dict[str, Noun]:
    """All words, by themselves."""
    found = {}
    for line in (resources.files("mmsearch.language") / "nouns.tsv").read_text("utf-8").splitlines():
        word, kind, plural, synonyms, above = line.split("\t")
        found[word] = Noun(word, kind, plural, _split(synonyms), _split(above))
    return found


def _split(field: str) -> tuple[str, ...]:
    return tuple(field.split("|")) if field else ()


@functools.cache
def _plurals() -> dict[str, str]:
    return {noun.plural: noun.word for noun in nouns().values() if noun.plural}


def find(word: str) -> tuple[Noun, bool] | None:
    """The noun that a word in lower case is a form of, and whether it is a plural; None where it is no known noun.

    A word with a hyphen is what its last part is: "t-shirt" is a shirt.
    """
    last = word.rpartition("-")[2]
    single = _plurals().get(last)
    if single is not None and (single != last or last in ALWAYS_SEVERAL or last.endswith("s")):
        return nouns()[single], True
    return (nouns()[last], False) if last in nouns() else None


def related(one: Noun, other: Noun) -> bool:
    """Whether both words may be said of the same thing: equal, synonyms, or one above the other."""
    ours, theirs = {one.word, *one.synonyms}, {other.word, *other.synonyms}
    return bool(ours & theirs or ours & set(other.above) or theirs & set(one.above))


def tokenize(text: str) -> list[Token]:
    """Words and marks in order."""
    return [Token(match[0].lower(), match.start(), match.end()) for match in WORD.finditer(text)]


def phrases(tokens: Sequence[Token]) -> list[Phrase]:
    """The noun phrases of a text, in order.

    Words are cut into runs at marks, determiners and function words.  Of two nouns side by side the second is the head
    ("tennis ball").  A noun counts when its run ends with it, or when what follows looks like a verb.
    """
    found: list[Phrase] = []
    start = 0  # of the phrase that is being read
    at = 0
    while at < len(tokens):
        word = tokens[at].word
        if word in DETERMINERS or word in NUMBERS or word.isdigit():
            if at and tokens[at - 1].word not in DETERMINERS and not _number(tokens[at - 1].word):
                start = at
        elif word == "and" and 0 < at < len(tokens) - 1 and {tokens[at - 1].word, tokens[at + 1].word} <= COLOURS:
            pass  # "a black and white dog" is one phrase
        elif _ends(word):
            start = at + 1
        else:
            known = find(word)
            if known is not None and _is_head(tokens, at, start, known[1]):
                if not (found and found[-1].head == at - 1 and _verb(tokens, at, found[-1].start, found[-1].several)):
                    found.append(Phrase(_first(tokens, start, at, found), at, *known))
                start = at + 1
        at += 1
    return found


def _first(tokens: Sequence[Token], start: int, head: int, before: Sequence[Phrase]) -> int:
    """Where a phrase begins: without the verb that a determiner would have parted from it ("wearing hats")."""
    if start < head and tokens[start].word not in DETERMINERS and not _number(tokens[start].word):
        after_noun = bool(before) and before[-1].head == start - 1
        word = tokens[start].word
        if after_noun or word.endswith("ing") or (word.endswith("s") and find(word) is None):
            return start + 1
    return start


def _number(word: str) -> bool:
    return word in NUMBERS or word.isdigit()


def _ends(word: str) -> bool:
    return word in FUNCTION or not word[0].isalnum()


def _verb(tokens: Sequence[Token], at: int, start: int, several: bool) -> bool:
    """Whether a word after a noun is a verb that looks like another noun: "a boy swings", "boys swing"."""
    word = tokens[at].word
    if several:
        return word in nouns()
    single = tokens[start].word in ("a", "an", "one", "another", "each", "every")
    return word.endswith("s") and (single or (word in VERBS and not _number(tokens[start].word)))


def _is_head(tokens: Sequence[Token], at: int, start: int, several: bool) -> bool:
    if at + 1 == len(tokens):
        return True
    word = tokens[at + 1].word
    if word in ("'s", "’s") or word in DESCRIBED:
        return False
    if _ends(word) or word in DETERMINERS or _number(word):
        return True
    known = find(word)
    if known is not None:
        return known[1] != several and _verb(tokens, at + 1, start, several)
    return several or bool(re.search(r"(ing|ed|s|ly)$", word))
