"""What the captions of a photo say is there, and what is surely not there.

Captions do not name all that is there.  A thing is absent only where no word of any caption may stand for it: no
synonym, hypernym or hyponym (WordNet), no word of the same parent ("cap" where a hat is), no word that begins like it
("biker" for bike) or holds it ("football" for ball), and none that lets one expect it.  Of people, a word is absent
only where all people that are mentioned are of the other sex or age.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmsearch.language.hard_negatives import may_be
from mmsearch.language.nouns import find, nouns, tokenize, word_set

# Words that let one expect a thing although they do not name it.
IMPLIED = {
    "ball": word_set("soccer tennis volleyball basketball baseball football rugby cricket golf softball hockey game"),
    "car": word_set("traffic street road racing race vehicle taxi jeep van truck"),
    "bicycle": word_set("biker bmx cyclist bike cycling riding"), "bike": word_set("cyclist cycling rider riding bmx"),
    "horse": word_set("rodeo jockey cowboy polo rider bull"), "boat": word_set("kayak raft rowing sailing ship canoe"),
    "water": word_set("swim surf splash wet lake pool ocean sea river beach wave pond stream fountain rain boat"),
    "snow": word_set("ski skier snowboard sled winter ice mountain"), "sand": word_set("beach desert dune shore"),
    "camera": word_set("photo photograph photographer picture posing pose poses film filming video"),
}  # fmt: skip
PEOPLE = word_set("group team crowd someone couple family")  # some of anybody may be among them


def words_of(captions: Iterable[str]) -> set[str]:
    """All words of a photo's captions, in lower case."""
    return {token.word for text in captions for token in tokenize(text)}


def nouns_of(words: Iterable[str]) -> set[str]:
    """The things that some words name, as words of ``language/nouns.py``."""
    return {known[0].word for word in words if (known := find(word)) is not None}


def is_absent(thing: str, words: Iterable[str]) -> bool:
    """Whether nothing in the words of a photo's captions may stand for a thing, a word of ``language/nouns.py``."""
    return not any(may_stand_for(word, thing) for word in words)


@functools.cache
def may_stand_for(word: str, thing: str) -> bool:
    """Whether where a caption has this word a thing may be there."""
    noun = nouns()[thing]
    holds = noun.kind != "person" and len(word) > len(thing) and thing in word  # no man is in "woman"
    if holds or word in IMPLIED.get(thing, ()) or word[:4] == thing[:4]:
        return True
    if noun.kind == "person" and word in PEOPLE:
        return True
    known = find(word)
    if known is None:
        return False
    wet = noun.kind in ("water", "ground") and known[0].kind in ("water", "ground", "substance")
    return wet or may_be(noun, known[0])


@dataclass(frozen=True)
class Mentions:
    """Which photos show which things."""

    things: tuple[str, ...]  # words of ``language/nouns.py``
    shown: NDArray[np.bool_]  # (photos, things): a caption names it, or what is below it in WordNet
    absent: NDArray[np.bool_]  # (photos, things); of what is neither the captions do not tell


def shown_by(words: set[str]) -> set[str]:
    """The things that the words of a photo's captions name, and what is above them in WordNet."""
    named = {above for word in nouns_of(words) for above in (word, *nouns()[word].above) if above in nouns()}
    return named | {"person"} if words & PEOPLE else named


def counts(captions: Sequence[Sequence[str]]) -> Counter[str]:
    """How many of the photos with these captions show each thing."""
    return Counter(thing for own in captions for thing in shown_by(words_of(own)))


def mentions(captions: Sequence[Sequence[str]], things: Sequence[str]) -> Mentions:
    """Which of the photos with these captions show ``things``, and which surely do not."""
    words = [words_of(own) for own in captions]
    named = [shown_by(own) for own in words]
    places = {thing: place for place, thing in enumerate(things)}
    shown = np.zeros((len(captions), len(things)), np.bool_)
    absent = np.ones_like(shown)
    standing: dict[str, NDArray[np.bool_]] = {}  # a word -> things that it may stand for
    for row, (own, there) in enumerate(zip(words, named, strict=True)):
        shown[row, [places[thing] for thing in there if thing in places]] = True
        for word in own:
            if word not in standing:
                standing[word] = np.array([may_stand_for(word, thing) for thing in things], np.bool_)
            absent[row] &= ~standing[word]
    return Mentions(tuple(things), shown, absent & ~shown)
