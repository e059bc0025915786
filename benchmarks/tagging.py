"""Tags against captioned photos: how many are right, and whether their probabilities mean what they say.

    python -m benchmarks.tagging --captions captions.tsv --images DIR [--only dev.txt] [--model FOLDER] [--confusions]

A tag is right for a photo when one of its captions (``strict``: two of them) speaks of it or of something that it is
right with: by its name or texts, by WordNet's hypernyms of the nouns, or by the words in ``SAID``.  People leave out
much of what can be seen, so precision is more than these figures say; tags that captions hardly ever name are not
judged (``UNSAID``).

Photos are cut into halves at random; ``fitted`` has the constants that each half gives, and ``other_half`` what those
of the one half are worth on the other.  ``shipped`` has the figures of ``tags.py`` as it is.  The baselines are the
mean cosine of a tag's texts with one threshold for all tags, set so that as many tags are given as shipped; and the
five tags with the highest cosine.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.captioned import average_precision, options, photo_vectors
from benchmarks.common import report
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.evaluation.evaluate import read_captions
from mmsearch.ingest.enrich import tags
from mmsearch.ingest.enrich.tags import Tagger
from mmsearch.language.nouns import find, phrases, tokenize, word_set
from mmsearch.language.vocabulary import Vocabulary, builtin
from mmsearch.types import Vectors

Right = NDArray[np.int64]  # (photos, tags): how many captions of a photo speak of a tag
Judged = NDArray[np.bool_]
Scores = NDArray[np.float32]

# Words that say a tag too: inflections, those who do it, what it is made of, and what cannot be without it.
SAID = {
    "american football": "football",
    "baby": "toddler infant",
    "ball": "football basketball soccer",
    "baseball": "softball",
    "beard": "bearded",
    "bicycle": "biker bikers bicyclist bicyclists cyclist cyclists biking",
    "boat": "canoe kayak raft",
    "car racing": "race racing",
    "child": "kids toddler baby",
    "city": "urban downtown",
    "climbing": "climber climbers",
    "coast": "shore shoreline seashore beach ocean",
    "costume": "costumes dressed",
    "couch": "sofa",
    "crowd": "audience spectators crowded",
    "cycling": "bike bikes bicycle bicycles biker bikers bicyclist bicyclists biking",
    "dancing": "dancer dancers",
    "dirt road": "dirt",
    "elderly person": "elderly old older",
    "forest": "woods wooded",
    "grass": "grassy lawn",
    "hiking": "hiker hikers",
    "hill": "hillside slope",
    "horse riding": "horse horses jockey",
    "ice": "icy",
    "jumping": "leap leaps leaping midair",
    "kayak": "kayaker kayakers kayaking",
    "kayaking": "kayak kayaks kayaker kayakers",
    "long hair": "long-haired",
    "man": "guy guys gentleman male",
    "motocross": "dirtbike motorcross motorcyclist",
    "motorcycle": "motorbike motorcyclist dirtbike motocross",
    "mountain": "mountainside mountaintop mountainous peak",
    "mud": "muddy",
    "musician": "band guitarist drummer singer",
    "path": "trail road",
    "playing music": "band musician musicians guitar instrument instruments",
    "puppy": "pup",
    "race": "racing racer racers runners",
    "race track": "track",
    "racing car": "race racing",
    "rafting": "raft",
    "river": "creek",
    "road": "street highway",
    "rock": "rocky boulder boulders stone cliff",
    "rock climbing": "climber climbers",
    "running": "runner runners race",
    "sand": "sandy",
    "sea": "ocean surf surfer surfing",
    "singing": "singer singers",
    "skate park": "ramp halfpipe skateboarder",
    "skateboarding": "skateboard skateboards skateboarder skateboarders",
    "ski slope": "ski skis skier snowboarder snowboard slope",
    "skiing": "ski skis skier skiers",
    "sledding": "sled sleds",
    "slide": "slides sliding",
    "snow": "snowy snowball snowboard snowboarder ski skier skis skiing snowboarding",
    "snowboarding": "snowboard snowboards snowboarder snowboarders",
    "splash": "splashing",
    "sport": """
        player players game race racer athlete match rider riders jersey tackle surfboard ski skis skier snowboard
        skateboard skateboarder bike biker cyclist climber wrestler gymnast opponent trick
        """,
    "stream": "creek",
    "street": "road city",
    "surfing": "surfer surfers surfboard",
    "swimming": "swimmer swimmers",
    "swimming pool": "pool",
    "swimsuit": "suit trunks bikini",
    "swing": "swings swinging",
    "taking a photo": "photographer",
    "talking on the phone": "cellphone",
    "team": "teams teammates players",
    "toddler": "baby infant",
    "tree": "woods forest wooded",
    "uniform": "jersey",
    "water": """
        wet swim swims swimming splash splashes splashing surf surfer surfing wave waves pool kayak kayaks kayaker
        """,
    "wave": "surf surfer surfing",
    "woman": "lady ladies female",
    "wrestling": "wrestler wrestlers",
}  # fmt: skip
# What people who say what a photo shows leave out, because it is plain to see or belongs to the photo rather than to
# what it shows; and the words above such things.
UNSAID = """
aerial view|black and white|blue sky|blurry|bokeh|close-up|clothing|clouds|colorful|computer graphics|countryside|
daylight|electronics|eye|face|fisheye|food|furniture|indoors|landscape|long exposure|outdoors|panorama|pattern|plant|
portrait|posing|reflection in water|sepia|shadow|silhouette|sky|smile|still life|stripes|summer|sunshine|toy|wall
"""
SEVERAL = word_set("people men women children kids boys girls group crowd players team family couple")


def stem(word: str) -> str:
    """What is the same in "run", "runs", "running" and "runner"; of other words it does not matter."""
    for ending in ("ing", "ies", "es", "ed", "s", "e", "y"):
        if word.endswith(ending) and len(word) - len(ending) >= 2 and not word.endswith("ss"):
            word = word[: -len(ending)]
            break
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "ls" else word


def spoken_of(captions: Sequence[str], vocabulary: Vocabulary) -> Judged:
    """Which tags each caption speaks of: (captions, tags)."""
    place = {name: number for number, name in enumerate(vocabulary.names)}
    by_word: dict[str, list[int]] = {}
    for name, words in SAID.items():
        for word in words.split():
            by_word.setdefault(word, []).append(place[name])
    doings: dict[str, list[int]] = {}
    for name, number in place.items():
        if name.endswith("ing") and " " not in name:
            doings.setdefault(stem(name), []).append(number)
    found = vocabulary.mentioned(captions)
    for row, caption in zip(found, captions, strict=True):
        tokens = tokenize(caption)
        people = 0
        for phrase in phrases(tokens):
            for word in phrase.noun.above:
                if word in place:
                    row[place[word]] = True
            if phrase.noun.kind == "person":
                row[place["person"]] = True
                people += 1 + phrase.several
            row[place["water"]] |= phrase.noun.kind == "water"
        for token in tokens:
            row[by_word.get(token.word, [])] = True
            if find(token.word) is None or token.word.endswith("ing"):
                row[doings.get(stem(token.word), [])] = True
            people += 2 * (token.word in SEVERAL)
        row[place["group of people"]] |= people > 1
        row[place["pet"]] |= row[place["dog"]] or row[place["cat"]]
    return (found.astype(np.float32) @ vocabulary.implied.astype(np.float32)) > 0


def fit(evidence: NDArray[np.float32], right: Judged) -> tuple[float, ...]:
    """Weights and constant of a logistic regression, by Newton's method: ``evidence`` (n, 2), ``right`` (n,)."""
    inputs = np.column_stack([evidence, np.ones(len(evidence))]).astype(np.float64)
    weights = np.zeros(inputs.shape[1])
    for _ in range(50):
        chance = 1 / (1 + np.exp(-inputs @ weights))
        gradient = inputs.T @ (chance - right)
        curvature = (inputs * (chance * (1 - chance))[:, None]).T @ inputs
        step = np.linalg.solve(curvature, gradient)
        weights -= step
        if np.abs(step).max() < 1e-9:
            break
    return tuple(round(float(value), 3) for value in weights)


def calibration_error(chances: Scores, right: Judged, bins: int = 15) -> float:
    """Mean distance, in points of percent, of said and true share over bins of equally many (Naeini et al. 2015)."""
    order = np.argsort(chances, kind="stable")
    cut = np.array_split(order, bins)
    return float(100 * sum(len(some) * abs(chances[some].mean() - right[some].mean()) for some in cut) / len(order))


def figures(given: Judged, right: Right) -> dict[str, float]:
    """Precision, recall and F1 in percent of the tags that photos were given, all taken together."""
    one, two = given & (right >= 1), given & (right >= 2)
    precision, recall = one.sum() / max(given.sum(), 1), one.sum() / (right >= 1).sum()
    return {
        "precision": round(float(100 * precision), 2),
        "strict_precision": round(float(100 * two.sum() / max(given.sum(), 1)), 2),
        "recall": round(float(100 * recall), 2),
        "f1": round(float(200 * precision * recall / max(precision + recall, 1e-9)), 2),
        "tags_a_photo": round(float(given.sum() / len(given)), 2),
        "different_tags": int(given.any(axis=0).sum()),
    }


def mean_precisions(scores: Scores, right: Right) -> dict[str, float]:
    """Average precision in percent: the mean over tags of five photos and more, and of all pairs in one list."""
    enough = np.flatnonzero((right >= 1).sum(axis=0) >= 5)
    macro = np.mean([average_precision(scores[:, tag], right[:, tag] >= 1) for tag in enough])
    return {
        "mAP": round(float(macro), 2),
        "AP_of_all": round(average_precision(scores.ravel(), right.ravel() >= 1), 2),
    }


def confused(given: Judged, right: Right, names: Sequence[str]) -> list[str]:
    """The tags that were most often given where nobody spoke of them: "tag wrong/right"."""
    wrong, good = (given & (right == 0)).sum(axis=0), (given & (right > 0)).sum(axis=0)
    return [f"{names[tag]} {wrong[tag]}/{good[tag]}" for tag in np.argsort(-wrong, kind="stable")[:60] if wrong[tag]]


def measure(vectors: Vectors, captions: Sequence[Sequence[str]], tagger: Tagger, confusions: bool) -> dict[str, Any]:
    """All figures."""
    vocabulary = tagger.vocabulary
    unsaid = {name.strip() for name in UNSAID.replace("\n", "").split("|")}
    judged = np.array([name not in unsaid for name in vocabulary.names])
    spoken = spoken_of([caption for texts in captions for caption in texts], vocabulary)
    owners = np.repeat(np.arange(len(captions)), [len(texts) for texts in captions])
    right = np.zeros((len(captions), len(vocabulary.tags)), np.int64)
    np.add.at(right, owners, spoken)

    evidence, chances = tagger.evidence(vectors), tagger.probabilities(vectors)
    halves = np.random.default_rng(0).permutation(len(captions)) < len(captions) // 2
    fitted, other = [], np.zeros_like(chances)
    for half in (halves, ~halves):
        weights = fit(evidence[half][:, judged].reshape(-1, 2), right[half][:, judged].ravel() >= 1)
        fitted.append(weights)
        odds = evidence[~half] @ np.array(weights[:2]) + weights[2]
        other[~half] = tagger.lifted((1 / (1 + np.exp(-odds))).astype(np.float32))
    whole = fit(evidence[:, judged].reshape(-1, 2), right[:, judged].ravel() >= 1)

    right, chances, other = right[:, judged], chances[:, judged], other[:, judged]
    names = [name for name, kept in zip(vocabulary.names, judged, strict=True) if kept]
    cosines = (vectors @ text_means(tagger).T)[:, judged]
    given = chances >= tagger.threshold
    level = np.sort(cosines.ravel())[-int(given.sum())]
    fifth = np.sort(cosines, axis=1)[:, [-5]]
    likely = other >= 0.05
    return {
        "photos": len(captions),
        "judged_tags": len(names),
        "tags_with_an_answer": int((right > 0).any(axis=0).sum()),
        "threshold": tagger.threshold,
        "fitted": {"first_half": fitted[0], "second_half": fitted[1], "all": whole},
        "shipped": figures(given, right) | mean_precisions(chances, right),
        "other_half": figures(other >= tagger.threshold, right)
        | mean_precisions(other, right)
        | {
            "calibration_error": round(calibration_error(other.ravel(), right.ravel() >= 1), 2),
            "calibration_error_above_5_percent": round(calibration_error(other[likely], right[likely] >= 1), 2),
        },
        "curve": {str(p): figures(other >= p, right) for p in (0.3, 0.4, 0.5, 0.55, 0.6, 0.7, 0.8)},
        "cosine_one_threshold": figures(cosines >= level, right) | mean_precisions(cosines, right),
        "cosine_first_five": figures(cosines >= fifth, right),
        **({"confusions": confused(given, right, names)} if confusions else {}),
    }


def text_means(tagger: Tagger) -> Vectors:
    """The mean of each tag's texts, unit rows."""
    own = tagger.own_texts()
    starts = np.cumsum([0, *(len(tag.texts) for tag in tagger.vocabulary.tags)])[:-1]
    sums = np.add.reduceat(own, starts, axis=0)
    means: Vectors = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    return means


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--vectors", type=Path, help="keep the photos' vectors in this file")
    parser.add_argument("--confusions", action="store_true", help="list the tags that were most often wrong")
    given = parser.parse_args()
    encoder = OnnxEncoder(given.model)
    captions = read_captions(given.captions, given.only)
    if given.vectors is not None and given.vectors.exists():
        vectors = np.load(given.vectors)
    else:
        vectors = photo_vectors([given.images / name for name in captions], encoder)
        if given.vectors is not None:
            np.save(given.vectors, vectors)
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) if given.vectors is None else given.vectors.parent
        tagger = Tagger(builtin(), encoder.card.fingerprint, encoder.encode_texts, cache)
    constants = [tags.NEAREST, tags.VOTE, tags.LOGISTIC]
    facts = {"model": encoder.card.fingerprint, "constants": constants}
    report("tagging", facts | measure(vectors, list(captions.values()), tagger, given.confusions))


if __name__ == "__main__":
    main()
