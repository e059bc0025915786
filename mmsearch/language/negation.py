"""What a text says should not be there: "beach without people", "no cars", "a dog but not a puppy".

===========================  ====================  ==================
text                         wanted                left out
===========================  ====================  ==================
no people                                          people
beach without people         beach                 people
a street with no cars        a street              cars
beach without people or dogs beach                 people, dogs
beach, no people at sunset   beach at sunset       people
nobody on a beach            on a beach            people
not a dog                                          dog
===========================  ====================  ==================

What is left out ends with a mark, a preposition ("without people at sunset"), or another of these words.  "No" before a
number ("no 5"), on signs ("no parking") and in phrases ("no longer", "not only") says nothing of the kind.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mmsearch.language.nouns import ARTICLES, DETERMINERS, PREPOSITIONS, Token, tokenize, word_set

NEGATIONS = word_set("no not without")
NOBODY = word_set("nobody anybody anyone someone somebody")
SIGNS = word_set(
    """
    smoking entry entrance parking exit trespassing stopping standing fishing swimming diving littering admittance
    fly man's
    """
)
PHRASES = word_set(
    """
    longer matter idea problem way only yet even just least so much very more less time one's better worse quite
    really too enough
    """
)
JOINED = word_set("and or nor")  # parts of what is left out
LINKS = word_set("but yet with")  # with JOINED, before a negation they go with it: "but no people", "with no people"
ENDS = (PREPOSITIONS - {"of", "with", "without", "like"}) | word_set("while when where who which that but")
ABOUT_IT = re.compile(r"(in|on|at|near|around|inside) (it|them|there)", re.IGNORECASE)  # "a room with no one in it"


@dataclass(frozen=True)
class Negated:
    """A text in two."""

    wanted: str  # empty where nothing is
    left_out: tuple[str, ...]  # at least one, without articles


def split(text: str) -> Negated | None:
    """What of a text is wanted and what is not; None where it negates nothing."""
    tokens = tokenize(text)
    wanted: list[tuple[int, int]] = []  # parts of the text
    left_out: list[str] = []
    at = begin = 0
    while at < len(tokens):
        first = _negated_from(tokens, at)
        if first is None:
            at += 1
            continue
        stop = at
        while stop > begin and tokens[stop - 1].word in LINKS | JOINED | {",", ";"}:
            stop -= 1
        wanted.append((begin, stop))
        end = _end(tokens, first)
        left_out += _parts(text, tokens[first:end]) or ["people"]
        at = begin = end
    if not left_out:
        return None
    wanted.append((begin, len(tokens)))
    spans = [text[tokens[a].start : tokens[b - 1].end] for a, b in wanted if a < b]
    spans = [span for span in spans if not ABOUT_IT.fullmatch(span)]
    spans = [span for span in spans if any(char.isalnum() for char in span)]
    return Negated(" ".join(span.strip(" ,;.!") for span in spans), tuple(dict.fromkeys(left_out)))


def _negated_from(tokens: Sequence[Token], at: int) -> int | None:
    """The first token of what is negated by the word at a place; None where it negates nothing."""
    word = tokens[at].word
    if word == "nobody" or (word == "no" and _word(tokens, at + 1) in ("one", "person")):
        return at + 1 if word == "nobody" else at + 2
    if word not in NEGATIONS:
        return None
    first = at + 1
    if _word(tokens, first) in NOBODY:
        return first
    while _word(tokens, first) in DETERMINERS:
        first += 1
    following = _word(tokens, first)
    if not following or not following[0].isalpha() or following in PHRASES | ENDS | NEGATIONS:
        return None
    if word == "no" and (following in SIGNS or "sign" in {token.word for token in tokens[first:]}):
        return None
    return first


def _word(tokens: Sequence[Token], at: int) -> str:
    return tokens[at].word if at < len(tokens) else ""


def _end(tokens: Sequence[Token], first: int) -> int:
    """Where what is negated ends."""
    if _word(tokens, first - 1) in ("nobody", "one", "person"):
        return first
    end = first
    listed = _word(tokens, first - 1) in ARTICLES | {"without"}
    while end < len(tokens):
        word, following = tokens[end].word, _word(tokens, end + 1)
        if word in JOINED:
            new = word == "and" and following in ARTICLES and not listed  # "a man with no hat and a dog"
            if new or not following or _negated_from(tokens, end + 1) is not None:
                break
        elif word in NEGATIONS | LINKS | ENDS or not word[0].isalnum():
            break
        end += 1
    return end


def _parts(text: str, tokens: Sequence[Token]) -> list[str]:
    """The things of a list, "people or dogs", without articles; somebody is people."""
    parts: list[list[Token]] = [[]]
    for token in tokens:
        if token.word in JOINED:
            parts.append([])
        elif parts[-1] or token.word not in DETERMINERS:
            parts[-1].append(token)
    return [
        "people" if len(part) == 1 and part[0].word in NOBODY else text[part[0].start : part[-1].end]
        for part in parts
        if part
    ]
