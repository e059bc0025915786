"""Make ``mmsearch/language/seen_words.txt`` again: rare words that the embedded model was trained with.

    python -m mmsearch.training.shipped.seen_words --data scratch/mixture

The folder is one of ``mixture.py``; its train split is read.  Kept are words of two texts or more that the model's
vocabulary has in short parts only, and that are no nouns of ``language/nouns.tsv``: the others are known anyway.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from pathlib import Path

from mmsearch.encoders.factory import EMBEDDED
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.language import nouns
from mmsearch.search.unknown_words import in_short_parts
from mmsearch.training.shipped.embedded import read_split

OUT = Path(__file__).parent.parent.parent / "language" / "seen_words.txt"
LEAST = 2  # texts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    texts = [text.lower() for own in read_split(given.data, "train").texts for text in own]
    counts = Counter(word for text in texts for word in set(re.findall(r"[a-z]+", text)))
    often = " ".join(word for word, count in sorted(counts.items()) if count >= LEAST)
    words = [word for word in in_short_parts(often, OnnxEncoder(EMBEDDED)) if nouns.find(word) is None]
    given.out.write_text("".join(f"{word}\n" for word in words), "utf-8")


if __name__ == "__main__":
    main()
