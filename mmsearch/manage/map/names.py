"""A few words for each cluster: what is said of its photos more than of those of the others.

Class-based TF-IDF (Grootendorst 2022, "BERTopic"): all photos of a cluster are one document, and a term weighs

    its share of the cluster's terms * log(1 + terms of a cluster on average / its count in all clusters)

A photo counts for a term once, however often it is said.  Where hardly any photo has words, the terms are the tags of
the vocabulary that ships, and a photo counts for each with the probability that it fits.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmsearch.language.nouns import DETERMINERS, FUNCTION, NUMBERS, VERBS, find, related, tokenize
from mmsearch.language.stop_words import STOP_WORDS
from mmsearch.language.vocabulary import builtin
from mmsearch.types import Photo

Counts = NDArray[np.float64]  # (clusters, terms)
Above = Callable[[str, str], bool]  # whether the first term is right wherever the second one is

LOOKED_AT = 200  # photos of a cluster whose words are read: more change no name
SAID = 0.2  # share of these that need words; below it the vocabulary names
SURE = 0.3  # probability from which on a photo counts for a tag of the vocabulary
SUPPORT = 0.2  # share of a cluster's photos that a term of its name must be said of
SUPPORT_BY_VOCABULARY = 0.25  # the same where the vocabulary names: its tags fit more photos than were given any
LIFT = 2.0  # times as often as in the other clusters that it must be said there, where any term is
CANDIDATES = 8  # best terms of a cluster among which its name is sought
LENGTH = 2  # terms of a name; a third one where two clusters would have the same
UNNAMED = "other photos"

_NOT_A_NAME = STOP_WORDS | FUNCTION | DETERMINERS | frozenset(NUMBERS) | VERBS


def terms_of(photo: Photo) -> set[str]:
    """What is said of a photo: its tags, and the words of its caption and description, nouns in the singular."""
    said = {" ".join(tag.casefold().split()) for tag in photo.tags}
    for text in (photo.caption, photo.description):
        said |= caption_words(text or "")
    return said - {""}


def caption_words(text: str) -> set[str]:
    """The words of a text that could be part of a name, nouns in the singular."""
    words = set()
    for token in tokenize(text):
        word = token.word
        if len(word) < 3 or not word[0].isalpha() or any(letter.isdigit() for letter in word) or word in _NOT_A_NAME:
            continue
        known = None if "-" in word else find(word)
        single = word if known is None else known[0].word
        if single not in _NOT_A_NAME:
            words.add(single)
    return words


@dataclass(frozen=True, eq=False)
class Said:
    """How many photos of each cluster each term is said of."""

    terms: tuple[str, ...]
    counts: Counts
    photos: NDArray[np.int64]  # (clusters,) that were looked at
    worded: int  # of all of them, that had any words
    support: float = SUPPORT


def counted(clusters: Sequence[Iterable[Photo]]) -> Said:
    """The terms of the photos of each cluster."""
    each: list[Counter[str]] = []
    photos, worded = [], 0
    for members in clusters:
        own: Counter[str] = Counter()
        number = 0
        for photo in members:
            words = terms_of(photo)
            own.update(words)
            number, worded = number + 1, worded + bool(words)
        each.append(own)
        photos.append(number)
    terms = sorted({term for own in each for term in own})
    column = {term: place for place, term in enumerate(terms)}
    counts = np.zeros((len(each), len(terms)))
    for row, own in zip(counts, each, strict=True):
        for term, number in own.items():
            row[column[term]] = number
    return Said(tuple(terms), counts, np.array(photos, np.int64), worded)


def c_tf_idf(counts: Counts) -> Counts:
    """The weight of each term in each cluster, by the formula above; 0 in clusters without terms."""
    totals = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    everywhere = counts.sum(axis=0)
    rarity = np.log1p(np.divide(totals.mean(), everywhere, out=np.zeros_like(everywhere), where=everywhere > 0))
    weights: Counts = share * rarity
    return weights


def named(said: Said, above: Above | None = None) -> list[str]:
    """A name for each cluster, unlike all others; the first clusters choose first."""
    above = above or implies
    weights = c_tf_idf(said.counts)
    share = said.counts / np.maximum(said.photos, 1)[:, None]
    others = np.maximum(said.photos.sum() - said.photos, 1)[:, None]
    elsewhere = (said.counts.sum(axis=0) - said.counts) / others
    weights = np.where(share >= said.support, weights, 0)
    special = np.where(share >= LIFT * elsewhere, weights, 0)
    taken: set[frozenset[str]] = set()
    names: list[str] = []
    for row, rare in zip(weights, special, strict=True):
        best = _candidates(said.terms, rare if rare.any() else row, above)
        terms = _unlike(best, taken)
        taken.add(frozenset(terms))
        names.append(_once(", ".join(terms) or UNNAMED, names))
    return names


def _candidates(terms: Sequence[str], weights: Counts, above: Above) -> list[str]:
    """The best terms of a cluster, no two of which say the same."""
    order = np.argsort(-weights, kind="stable")[: 3 * CANDIDATES]
    ranked = [int(place) for place in order if weights[place] > 0]
    kept: list[str] = []
    for place in ranked:
        term = terms[place]
        narrower = (terms[other] for other in ranked if other != place and weights[other] >= weights[place] / 2)
        if any(above(term, other) and not above(other, term) for other in narrower):
            continue  # "animal" where "dog" says nearly as much
        if not any(_alike(term, one) or above(term, one) or above(one, term) for one in kept):
            kept.append(term)
    return kept[:CANDIDATES]


def _alike(one: str, other: str) -> bool:
    ours, theirs = set(one.split()), set(other.split())
    return ours <= theirs or theirs <= ours


def implies(above: str, below: str) -> bool:
    """Whether a term is right wherever another one is, by the vocabulary of tags and by WordNet's nouns."""
    if above == below:
        return True
    if above in _parents().get(below, ()):
        return True
    one, other = find(above), find(below)
    return (
        one is not None
        and other is not None
        and one[0] is not other[0]
        and related(one[0], other[0])
        and (one[0].word in other[0].above or one[0].word in other[0].synonyms)
    )


@functools.cache
def _parents() -> dict[str, frozenset[str]]:
    """The tags above each tag of the vocabulary that ships."""
    names, implied = builtin().names, builtin().implied
    pairs = zip(names, implied, strict=True)
    return {name: frozenset(names[at] for at in np.flatnonzero(row)) - {name} for name, row in pairs}


def _unlike(best: Sequence[str], taken: set[frozenset[str]]) -> list[str]:
    """The best terms that make a name which no other cluster has."""
    pairs = [[best[one], best[other]] for other in range(1, len(best)) for one in range(other)]
    for terms in [best[:LENGTH], *pairs, *([*pair, third] for pair in pairs for third in best if third not in pair)]:
        if terms and frozenset(terms) not in taken:
            return list(terms)
    return list(best[:LENGTH])


def _once(name: str, before: Sequence[str]) -> str:
    """The name, with a number behind it where an earlier one is the same."""
    number, unlike = 1, name
    while unlike in before:
        number += 1
        unlike = f"{name} {number}"
    return unlike
