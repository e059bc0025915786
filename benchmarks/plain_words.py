"""Short queries over the sample photos of the demo: how many find the right photo first, with the embedded model.

python -m benchmarks.plain_words [--model FOLDER]
"""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from benchmarks.common import report
from mmsearch.cli.samples import NAMES
from mmsearch.encoders import factory
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.media.decode import decode

RIGHT = {
    "a cat": "chelsea", "tabby cat": "chelsea", "a cup of coffee": "coffee", "coffee": "coffee", "espresso": "coffee",
    "a rocket launch": "rocket", "an astronaut": "astronaut", "a woman in an orange space suit": "astronaut",
    "a motorcycle": "motorcycle", "coins": "coins", "a horse": "horse", "the moon": "moon", "a page of text": "page",
    "stars": "hubble", "grass": "grass", "a man with a camera": "camera", "tripod": "camera", "a brick wall": "brick",
    "gravel": "gravel", "an eye": "retina",
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=factory.EMBEDDED)
    encoder = OnnxEncoder(parser.parse_args().model)
    spec = find_spec("skimage")
    assert spec is not None
    assert spec.origin is not None
    pixels = []
    for name in NAMES:
        with (Path(spec.origin).parent / "data" / name).open("rb") as file:
            pixels.append(decode(file, name, encoder.card.preprocess).pixels)
    scores = encoder.encode_texts(list(RIGHT)) @ encoder.encode_images(np.stack(pixels)).T  # (texts, photos)
    first = {text: NAMES[int(row.argmax())] for text, row in zip(RIGHT, scores, strict=True)}
    wrong = {text: name for text, name in first.items() if not name.startswith(RIGHT[text])}
    right = len(RIGHT) - len(wrong)
    report("plain_words", {"queries": len(RIGHT), "right": right, "photos": len(NAMES), "wrong": wrong})


if __name__ == "__main__":
    main()
