"""Plain words against captioned photos: how well they find, and what case, punctuation, plural and prompts change.

    python -m benchmarks.short_queries --captions captions.tsv --images DIR [--only dev.txt] [--model FOLDER]

A photo answers a word when at least three of its captions name it (singular or plural).  Figures: mean average
precision over the words that at least five photos answer, for each way of writing the query, and how many of the first
ten photos stay the same as for the plain word.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from benchmarks.captioned import average_precision, options, photo_vectors
from benchmarks.common import report
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.evaluation.evaluate import read_captions

# A word and its plural.
WORDS = {
    "dog": "dogs", "man": "men", "woman": "women", "boy": "boys", "girl": "girls", "child": "children",
    "baby": "babies", "ball": "balls", "bike": "bikes", "bicycle": "bicycles", "motorcycle": "motorcycles",
    "car": "cars", "horse": "horses", "bird": "birds", "beach": "beaches", "mountain": "mountains", "tree": "trees",
    "boat": "boats", "hat": "hats", "pool": "pools", "swing": "swings", "slide": "slides",
    "skateboard": "skateboards", "rock": "rocks", "cliff": "cliffs", "river": "rivers", "street": "streets",
    "building": "buildings", "fence": "fences", "toy": "toys", "kayak": "kayaks", "surfer": "surfers",
    "climber": "climbers", "snowboarder": "snowboarders", "skier": "skiers", "wave": "waves", "bench": "benches",
    "flower": "flowers", "guitar": "guitars", "tent": "tents", "fountain": "fountains", "couple": "couples",
    "crowd": "crowds", "player": "players", "camera": "cameras", "stick": "sticks",
}  # fmt: skip
PROMPTS = ("{}", "a {}", "a photo of a {}", "a picture of {}", "there is a {} in the picture")


def main() -> None:
    given = options(__doc__).parse_args()
    encoder = OnnxEncoder(given.model)
    captions = read_captions(given.captions, given.only)
    photos = photo_vectors([given.images / name for name in captions], encoder)
    said = [[set(re.findall("[a-z]+", text.lower())) for text in texts] for texts in captions.values()]
    right = {
        word: np.array([sum(bool({word, plural} & words) for words in texts) >= 3 for texts in said])
        for word, plural in WORDS.items()
    }
    words = [word for word, answers in right.items() if answers.sum() >= 5]

    def encode(forms: list[list[str]]) -> NDArray[np.float32]:
        """A row for each word, the mean of its forms."""
        means = np.stack([encoder.encode_texts(texts).mean(axis=0) for texts in forms])
        unit: NDArray[np.float32] = means / np.linalg.norm(means, axis=1, keepdims=True)
        return unit

    ways = {
        "plain": [[word] for word in words],
        "capital": [[word.capitalize()] for word in words],
        "upper case": [[word.upper()] for word in words],
        "full stop": [[f"{word}."] for word in words],
        "question mark": [[f"{word}?"] for word in words],
        "plural": [[WORDS[word]] for word in words],
        "with article": [[f"a {word}"] for word in words],
        "prompts": [[prompt.format(word) for prompt in PROMPTS] for word in words],
    }
    scores = {way: encode(forms) @ photos.T for way, forms in ways.items()}
    first = {way: [set(np.argsort(-row, kind="stable")[:10]) for row in found] for way, found in scores.items()}
    figures = {}
    for way, found in scores.items():
        precision = [average_precision(row, right[word]) for row, word in zip(found, words, strict=True)]
        same = [len(own & plain) for own, plain in zip(first[way], first["plain"], strict=True)]
        figures[way] = {"mAP": round(float(np.mean(precision)), 2), "same of 10": round(float(np.mean(same)), 2)}
    report("short_queries", {"model": encoder.card.fingerprint, "words": len(words), "photos": len(photos), **figures})


if __name__ == "__main__":
    main()
