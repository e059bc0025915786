"""False captions that are nearly the true one, made by rule: does a model read more than a bag of words?

=========  ==========================================================  ===============================================
kind       rule                                                        example
=========  ==========================================================  ===============================================
swap       two things, or only their colours, exchange places          a dog chases a cat -> a cat chases a dog
attribute  one colour, size, age, material or state becomes another    a red hat -> a blue hat
number     a number from two to six becomes another                    two dogs -> four dogs
noun       one thing becomes another of the same kind; good for        a dog on a beach -> a cat on a beach
           training, but too easy to be part of the evaluation set
=========  ==========================================================  ===============================================

The idea is that of ARO (Yuksekgonul et al. 2023, "When and Why Vision-Language Models Behave Like Bags-of-Words") and
of FOIL (Shekhar et al. 2017, kind noun).  A swap can be odd in itself ("a bike rides a man"), which a model may notice
without the photo (Hsieh et al. 2023, SugarCrepe): so swaps of two people or animals, which are never odd, come first,
and the score of a model that sees only the texts is worth knowing.

What is not swapped, because it would say the same, or nonsense: the sides of "and", "or", "with", "near", "beside" and
their like; words that may be said of the same thing (man, person; boat, ship); a plural with a singular; parts of the
body, groups, stuffs.  Rules see words, not the photo: a variant can be true by chance, or bad English.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mmsearch.language.nouns import (
    COLOURS,
    DESCRIBED,
    DETERMINERS,
    NUMBERS,
    Noun,
    Phrase,
    Token,
    find,
    nouns,
    phrases,
    related,
    tokenize,
    word_set,
)

EVALUATED = ("swap", "attribute", "number")


Edits = Mapping[tuple[int, int], str]  # first and last token -> what they become


@dataclass(frozen=True)
class Variant:
    """A false caption and the rule that made it: "swap", "attribute", "number" or "noun"."""

    text: str
    kind: str


# What a thing of each kind may become; common words, no two of which may be said of the same thing.
COMMON: Mapping[str, tuple[str, ...]] = {
    "animal": ("dog", "cat", "horse", "cow", "sheep", "elephant", "monkey", "lion", "rabbit", "pig", "bear", "goat"),
    "bird": ("duck", "swan", "pigeon", "owl", "parrot", "eagle", "penguin", "chicken"),
    "clothing": ("shirt", "hat", "jacket", "skirt", "scarf", "sweater", "helmet", "apron", "tie"),
    "vehicle": ("car", "bus", "truck", "bicycle", "motorcycle", "train", "boat", "airplane", "tractor"),
    "furniture": ("chair", "table", "bed", "couch", "desk", "bench"),
    "sport": ("ball", "skateboard", "surfboard", "snowboard", "racket", "bat"),
    "toy": ("doll", "kite", "frisbee", "balloon"),
    "building": ("house", "church", "bridge", "barn", "tent", "castle", "fence"),
    "land": ("beach", "hill", "cliff", "cave", "mountain", "forest"),
    "place": ("playground", "field", "farm", "airport", "garden", "parking lot"),
    "way": ("street", "path", "staircase", "hallway"),
    "machine": ("camera", "computer", "phone", "television", "microwave"),
    "music": ("guitar", "piano", "violin", "drum", "trumpet"),
    "container": ("bag", "bucket", "box", "bottle", "bowl", "basket"),
    "fruit": ("apple", "banana", "orange", "pear"),
    "tool": ("hammer", "shovel", "saw", "rake"),
    "weapon": ("gun", "sword", "knife", "bow"),
}
MALE = word_set("man boy guy gentleman father husband king policeman fireman")
FEMALE = word_set("woman girl lady mother wife queen bride")
ADULT = word_set("man woman guy gentleman lady father mother husband wife bride policeman fireman adult")
CHILD = word_set("boy girl child kid baby toddler infant")
PEOPLE = {"man": ("woman", "girl"), "woman": ("man", "boy"), "boy": ("girl", "woman"), "girl": ("boy", "man")}
NOT_SWAPPED = frozenset(["body", "group", "substance", "food", "drink", "cloth", "sky", "land", "water"])
# Between two things these say the same from both sides; so do verbs of just being there, before them.
BOTH_WAYS = word_set("and or with near by beside alongside against amid among besides")
BOTH_WAYS_TWO = frozenset([("next", "to"), ("close", "to"), ("opposite", "to"), ("together", "with")])
BOTH_WAYS_VERBS = re.compile(
    r"(kiss|hug|embrac|wrestl|fight|danc|chat|talk|meet|rac|fac|hold|touch|compet|box|spar|convers|play|pos)"
    r"(s|es|e|ing|ed)?"
)

SIZES = {"large": "small", "big": "small", "huge": "tiny", "small": "large", "tiny": "huge", "little": "big",
         "tall": "short", "long": "short", "short": "long"}  # fmt: skip
AGES = {"young": "old", "old": "young", "elderly": "young", "older": "young"}
STATES = {
    "wet": "dry", "dry": "wet", "crowded": "empty", "empty": "crowded", "open": "closed", "closed": "open",
    "indoor": "outdoor", "outdoor": "indoor", "striped": "plain", "female": "male", "male": "female",
    "bald": "long-haired", "smiling": "crying", "crying": "laughing", "sleeping": "barking", "muddy": "clean",
    "dirty": "clean", "sunny": "rainy", "calm": "stormy", "bearded": "clean-shaven",
}  # fmt: skip
MATERIALS = ("wooden", "metal", "brick", "stone", "plastic", "glass", "concrete")
GROUNDS = ("grassy", "snowy", "sandy")
# Colours that people call one another's names; none becomes one of its own row.
ALIKE = (
    frozenset(["red", "orange", "pink", "brown", "maroon"]), frozenset(["pink", "purple"]),
    frozenset(["brown", "tan", "beige", "gold", "golden", "orange", "yellow"]),
    frozenset(["white", "gray", "grey", "silver", "beige"]), frozenset(["black", "gray", "grey", "brown"]),
    frozenset(["blue", "purple", "green", "gray", "grey"]),
)  # fmt: skip
DYES = ("red", "blue", "green", "yellow", "orange", "purple", "pink", "brown", "black", "white")
FURS = ("black", "white", "brown")
LIVING = ("animal", "bird", "fish", "insect", "person")
FEWEST, MOST = 2, 6


def build(captions: Sequence[str], seed: int = 0) -> list[tuple[int, Variant]]:
    """The evaluation set: of each caption that a rule applies to, one variant of a kind in ``EVALUATED``.

    Returns (row in ``captions``, variant), rows ascending.  The kind is drawn first, the rarer one (so far) being
    preferred; a swap of two people or animals is preferred to other swaps.  The same for the same captions and seed.
    """
    used = dict.fromkeys(EVALUATED, 0)
    found = []
    for row, caption in enumerate(captions):
        rng = random.Random(f"{seed} {row} {caption}")
        possible = [variant for variant in variants(caption, rng) if variant.kind in EVALUATED]
        if possible:
            kind = min({variant.kind for variant in possible}, key=lambda kind: (used[kind], EVALUATED.index(kind)))
            used[kind] += 1
            choice = [variant for variant in possible if variant.kind == kind]
            found.append((row, choice[0] if kind == "swap" else rng.choice(choice)))
    return found


def variants(caption: str, rng: random.Random) -> list[Variant]:
    """All variants of a caption, without repetition, the best swaps first; empty where no rule applies.

    What something becomes is drawn from ``rng``.  Spaces and marks stay as they are; "a" and "an" follow the new word.
    """
    tokens = tokenize(caption)
    named = phrases(tokens)
    made: list[Variant] = []
    for kind, edits in itertools.chain(
        (("swap", edits) for edits in _swaps(tokens, named)),
        (("attribute", edits) for edits in _attributes(tokens, named, rng)),
        (("number", edits) for edits in _numbers(tokens, named, rng)),
        (("noun", edits) for edits in _others(tokens, named, rng)),
    ):
        variant = Variant(_edited(caption, tokens, edits), kind)
        if variant not in made:
            made.append(variant)
    return made


def same_person(one: Noun, other: Noun) -> bool:
    """Whether two words for people may be said of one of them: man and player, but not man and woman."""
    pairs = ((MALE, FEMALE), (ADULT, CHILD))
    return not any(
        (one.word in a and other.word in b) or (one.word in b and other.word in a) for a, b in pairs
    )  # fmt: skip


def _swaps(tokens: Sequence[Token], named: Sequence[Phrase]) -> Iterator[Edits]:
    living: list[Edits] = []
    others: list[Edits] = []
    for first, second in itertools.combinations(named, 2):
        if _swappable(tokens, named, first, second):
            a, b = _bare(tokens, first), _bare(tokens, second)
            both = first.noun.kind in LIVING and second.noun.kind in LIVING
            (living if both else others).append({a: _text(tokens, b), b: _text(tokens, a)})
    yield from living
    yield from _exchanged_colours(tokens, named)
    yield from others


def _bare(tokens: Sequence[Token], phrase: Phrase) -> tuple[int, int]:
    """First and last token of a phrase without determiners and numbers: what a swap moves."""
    start = phrase.start
    while tokens[start].word in DETERMINERS or tokens[start].word in NUMBERS or tokens[start].word.isdecimal():
        start += 1
    return start, phrase.head


def _text(tokens: Sequence[Token], span: tuple[int, int]) -> str:
    return " ".join(token.word for token in tokens[span[0] : span[1] + 1])


def _swappable(tokens: Sequence[Token], named: Sequence[Phrase], first: Phrase, second: Phrase) -> bool:
    one, other = first.noun, second.noun
    if first.several != second.several or related(one, other) or bool(one.plural) != bool(other.plural):
        return False
    if one.kind in NOT_SWAPPED or other.kind in NOT_SWAPPED:
        return False
    if one.kind == other.kind == "person" and same_person(one, other):
        return False
    words = [tokens[phrase.head].word for phrase in named]
    if words.count(words[named.index(first)]) > 1 or words.count(words[named.index(second)]) > 1:
        return False
    between = [token.word for token in tokens[first.head + 1 : second.start]]
    if not between or any(BOTH_WAYS_VERBS.fullmatch(word) for word in between):
        return False
    inside = {at for phrase in named for at in range(phrase.start, phrase.head + 1)}
    outside = [tokens[at].word for at in range(first.head + 1, second.start) if at not in inside]
    if all(word in BOTH_WAYS or not word[0].isalnum() for word in outside):
        return False
    if named.index(second) > named.index(first) + 1:
        return True
    if between[-1] in BOTH_WAYS or tuple(between[-2:]) in BOTH_WAYS_TWO:
        return False
    return between[-1] != "of" or between[-2:] in (["front", "of"], ["out", "of"])  # "a bowl of fruit" is one thing


def _exchanged_colours(tokens: Sequence[Token], named: Sequence[Phrase]) -> Iterator[Edits]:
    coloured = []
    for phrase in named:
        colours_at = [at for at in range(phrase.start, phrase.head) if tokens[at].word in COLOURS]
        if len(colours_at) == 1 and not find(tokens[phrase.head - 1].word):
            coloured.append((phrase, colours_at[0]))
    for (first, one), (second, other) in itertools.combinations(coloured, 2):
        a, b = tokens[one].word, tokens[other].word
        if first.noun != second.noun and not related(first.noun, second.noun) and not _alike(a, b):
            yield {(one, one): b, (other, other): a}


def _attributes(tokens: Sequence[Token], named: Sequence[Phrase], rng: random.Random) -> Iterator[Edits]:
    existing = {token.word for token in tokens}
    for phrase in named:
        for at in range(phrase.start, phrase.head):
            choice = _other_attributes(tokens, at, phrase, existing)
            if choice:
                yield {(at, at): rng.choice(choice)}
    inside = {at for phrase in named for at in range(phrase.start, phrase.head + 1)}
    for at, token in enumerate(tokens):  # "a man in white"
        if token.word in DYES and at and tokens[at - 1].word == "in" and at not in inside:
            yield {(at, at): rng.choice([dye for dye in DYES if dye not in existing and not _alike(dye, token.word)])}


def _other_attributes(tokens: Sequence[Token], at: int, phrase: Phrase, existing: set[str]) -> list[str]:
    """What the word at ``at`` of a phrase may become, without what the caption has anywhere."""
    word, kind, last = tokens[at].word, phrase.noun.kind, at == phrase.head - 1
    if word in COLOURS:
        golden = word == "golden" and kind in LIVING  # a golden retriever
        if kind == "person" or golden or (not last and find(tokens[at + 1].word)) or tokens[at + 1].word in DESCRIBED:
            return []
        choice: Sequence[str] = FURS if kind in LIVING or phrase.noun.word in ("fur", "hair") else DYES
        return [dye for dye in choice if dye not in existing and not _alike(dye, word)]
    if kind == "person":
        if word in AGES and phrase.noun.word in ("man", "woman", "person", "people", "lady", "guy", "gentleman"):
            return [AGES[word]]
        return [STATES[word]] if word in ("bald", "smiling", "crying", "male", "female", "bearded") else []
    if word in SIZES and (word not in ("short", "long") or kind in ("clothing", "body", "object")):
        return [SIZES[word]] if SIZES[word] not in existing else []
    if word in MATERIALS and last:
        return [other for other in MATERIALS if other not in existing and {word, other} != {"brick", "stone"}]
    if word in GROUNDS and kind in ("land", "place", "way"):
        return [other for other in GROUNDS if other not in existing and {word, other} & {"snowy"}]
    states = ("bald", "smiling", "male", "female", "bearded", "open")
    return [STATES[word]] if word in STATES and word not in states and STATES[word] not in existing else []


def _alike(one: str, other: str) -> bool:
    return one == other or any({one, other} <= row for row in ALIKE)


def _numbers(tokens: Sequence[Token], named: Sequence[Phrase], rng: random.Random) -> Iterator[Edits]:
    existing = {token.word for token in tokens}
    names = {number: word for word, number in NUMBERS.items()}
    for phrase in named:
        for at in range(phrase.start, phrase.head):
            word = tokens[at].word
            number = NUMBERS.get(word, int(word) if word.isdecimal() else 0)
            if phrase.several and FEWEST <= number <= MOST and tokens[at + 1].word not in ("tone", "story", "piece"):
                choice = [
                    other for other in range(FEWEST, MOST + 1) if other != number and names[other] not in existing
                ]
                other = rng.choice(choice)
                yield {(at, at): str(other) if word.isdecimal() else names[other]}


def _others(tokens: Sequence[Token], named: Sequence[Phrase], rng: random.Random) -> Iterator[Edits]:
    mentioned = [phrase.noun for phrase in named]
    for phrase in named:
        word, noun = tokens[phrase.head].word, phrase.noun
        if "-" in word or (find(tokens[phrase.head - 1].word) and phrase.start < phrase.head):
            continue
        pool = PEOPLE.get(noun.word, ()) if noun.kind == "person" else COMMON.get(noun.kind, ())
        choice = []
        for name in pool:
            other = nouns().get(name)
            if other is not None and not any(may_be(other, one) for one in mentioned):
                choice.append(other.plural if phrase.several else other.word)
        if choice and (noun.plural or not phrase.several):
            yield {(phrase.head, phrase.head): rng.choice(choice)}


def may_be(one: Noun, other: Noun) -> bool:
    """Whether two words may be said of the same thing, or of things that are easily taken for each other."""
    if one.kind == other.kind == "person" and one != other:
        return same_person(one, other)
    return related(one, other) or bool(one.above and other.above and one.above[0] == other.above[0])


def _edited(caption: str, tokens: Sequence[Token], edits: Edits) -> str:
    """The caption with other words in some places, capital letters and articles mended."""
    changed = dict(edits)
    for (start, _), text in edits.items():
        if start and tokens[start - 1].word in ("a", "an"):
            changed[start - 1, start - 1] = article(text)
    parts, end = [], 0
    for (start, last), text in sorted(changed.items()):
        capital = caption[tokens[start].start].isupper() and start == 0
        parts += [caption[end : tokens[start].start], text[0].upper() + text[1:] if capital else text]
        end = tokens[last].end
    return "".join(parts) + caption[end:]


def article(word: str) -> str:
    """ "an" before a vowel that is heard, else "a"."""
    if re.match(r"(uni|use|one|eu)", word):
        return "a"
    return "an" if re.match(r"([aeiou]|hour|honest|heir)", word) else "a"
