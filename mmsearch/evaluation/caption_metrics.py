"""How near written captions come to those of people: corpus BLEU and CIDEr, by counts of n-grams alone.

``candidates[i]`` is compared with all of ``references[i]``.  Both metrics look at runs of 1 to 4 words.

=========  ========================================================  ==========  =====================================
metric     source                                                    range       notes
=========  ========================================================  ==========  =====================================
BLEU-4     Papineni et al. 2002, "BLEU: a Method for Automatic       0 to 1      over the corpus, not a mean of
           Evaluation of Machine Translation"                                    sentences; no smoothing
CIDEr      Vedantam et al. 2015, "CIDEr: Consensus-based Image       0 to 1      the paper stems the words first;
           Description Evaluation"                                               this does not
CIDEr-D    the same paper, section 6                                 0 to 10     what the COCO server and nearly all
                                                                                 papers print as "CIDEr"
=========  ========================================================  ==========  =====================================

Papers print all of them times 100.  They are comparable only between captions of the same photos: CIDEr weighs
words by the references at hand.

The words are those of ``tokens``.  COCO's server cuts with Stanford's Penn Treebank tokenizer and drops punctuation;
that one parts "dog's" into "dog" and "'s", here it stays one word.  So figures differ a
little from the server's.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

N = 4  # the longest n-gram; both papers
SIGMA = 6.0  # words of difference in length that CIDEr-D forgives (Vedantam et al. 2015, section 6)

Gram = tuple[str, ...]

WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


def tokens(text: str) -> list[str]:
    """The words and numbers of a text in lower case, without punctuation: "A dog's T-shirt." -> a, dog's, t, shirt."""
    return WORD.findall(text.lower())


def summarize(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """``BLEU-4`` and ``CIDEr-D``, times 100 as papers print them, rounded to two digits.  Raises as ``bleu`` does."""
    return {
        "BLEU-4": round(100 * bleu(candidates, references), 2),
        "CIDEr-D": round(100 * cider_d(candidates, references), 2),
    }


def bleu(candidates: Sequence[str], references: Sequence[Sequence[str]], n: int = N) -> float:
    """Corpus BLEU with n-grams of 1 to ``n`` words, in [0, 1] (Papineni et al. 2002).

    An n-gram of a candidate counts as often as it stands in the one reference that has it most often.  Captions that
    are shorter than their references are marked down by exp(1 - r / c), where c is the length of all candidates and r
    that of their references, each time the one of nearest length; of two as near the shorter one.  Without smoothing:
    0 where no n-gram of some length is right.  Raises ValueError for lists of different lengths, no candidate at all,
    or a candidate without references.
    """
    _check(candidates, references)
    right, made = [0] * n, [0] * n
    length = nearest = 0
    for candidate, texts in zip(candidates, references, strict=True):
        words, others = tokens(candidate), [tokens(text) for text in texts]
        length += len(words)
        nearest += min((abs(len(other) - len(words)), len(other)) for other in others)[1]
        for size in range(1, n + 1):
            most: Counter[Gram] = Counter()
            for other in others:
                most |= _grams(other, size)
            counts = _grams(words, size)
            right[size - 1] += (counts & most).total()
            made[size - 1] += counts.total()
    if not all(right):
        return 0.0
    precision = sum(math.log(hits / of) for hits, of in zip(right, made, strict=True)) / n
    return math.exp(precision + min(0.0, 1 - nearest / length))


def cider(candidates: Sequence[str], references: Sequence[Sequence[str]], n: int = N) -> float:
    """CIDEr in [0, 1], without the paper's stemming (Vedantam et al. 2015, section 3).

    The mean cosine similarity of a candidate and its references, as vectors of n-grams weighted with their counts and
    log(photos / photos with a reference that has the n-gram); the mean over 1 to ``n`` words.  A single photo gives 0,
    as all its n-grams stand in all the photos.  Raises as ``bleu`` does.
    """
    return _consensus(candidates, references, n, None)


def cider_d(candidates: Sequence[str], references: Sequence[Sequence[str]], n: int = N, sigma: float = SIGMA) -> float:
    """CIDEr-D in [0, 10]: CIDEr that is harder to deceive (Vedantam et al. 2015, section 6).

    A weight above the reference's counts as much as the reference's, so that repeated words gain nothing; a difference
    of d words in length takes the factor exp(-d² / 2 ``sigma``²); everything times 10.  The counts are not divided by
    the length of the caption, as in the authors' program, which the COCO server runs.  Raises as ``bleu`` does.
    """
    return 10 * _consensus(candidates, references, n, sigma)


def _consensus(candidates: Sequence[str], references: Sequence[Sequence[str]], n: int, sigma: float | None) -> float:
    _check(candidates, references)
    cut = [[tokens(text) for text in texts] for texts in references]
    total = 0.0
    for size in range(1, n + 1):
        photos: Counter[Gram] = Counter()  # photos with a reference that has the n-gram
        counted = [[_grams(words, size) for words in texts] for texts in cut]
        for grams in counted:
            photos.update(set().union(*grams))
        rarity = {gram: math.log(len(cut) / count) for gram, count in photos.items()}
        unseen = math.log(len(cut))
        for candidate, texts, grams in zip(candidates, cut, counted, strict=True):
            words = tokens(candidate)
            ours = {gram: count * rarity.get(gram, unseen) for gram, count in _grams(words, size).items()}
            found = 0.0
            for other, counts in zip(texts, grams, strict=True):
                theirs = {gram: count * rarity[gram] for gram, count in counts.items()}
                factor = 1.0 if sigma is None else math.exp(-((len(words) - len(other)) ** 2) / (2 * sigma**2))
                found += factor * _similarity(ours, theirs, clipped=sigma is not None)
            total += found / len(texts)
    return total / (n * len(candidates))


def _similarity(ours: dict[Gram, float], theirs: dict[Gram, float], clipped: bool) -> float:
    product = sum(
        (min(weight, theirs[gram]) if clipped else weight) * theirs[gram]
        for gram, weight in ours.items()
        if gram in theirs
    )
    lengths = math.sqrt(sum(w * w for w in ours.values()) * sum(w * w for w in theirs.values()))
    return product / lengths if lengths else 0.0


def _grams(words: Sequence[str], size: int) -> Counter[Gram]:
    return Counter(zip(*(words[at:] for at in range(size)), strict=False))


def _check(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    if len(candidates) != len(references):
        raise ValueError(f"{len(candidates)} candidates, but references for {len(references)}")
    if not candidates:
        raise ValueError("no captions to judge")
    for row, texts in enumerate(references):
        if not texts:
            raise ValueError(f"candidate {row} has no references")
