"""The adapter of the embedded model's short texts: made when the model has been trained.

    python -m mmsearch.training.shipped.text_adapter --data DIR

``DIR`` holds ``images/``, ``captions.tsv`` and ``train.txt``, as ``shipped.mixture`` makes it.  Writes
``text_adapter.npy`` into the model's folder, and the words that it knows into ``mmsearch/language/caption_words.txt``,
or beside it where ``--out`` names another folder; ``mmsearch/training/common/text_adapter.py`` says how.
``python -m benchmarks.plain_queries`` measures it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mmsearch.encoders.factory import EMBEDDED
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.evaluation import answerable
from mmsearch.search.text_adapter import FILE, WORDS
from mmsearch.training.common import text_adapter
from mmsearch.training.common.pairs import MARGIN, Pictures
from mmsearch.training.shipped.embedded import read_split
from mmsearch.training.shipped.presence import VIEWS, log, options, views
from mmsearch.training.shipped.rerank_embedded import sentences

OUT = Path(__file__).parent.parent.parent / "language" / "caption_words.txt"


def main() -> None:
    given = options(__doc__)
    encoder = OnnxEncoder(given.out)
    kept, pictures = Pictures.open(read_split(given.data, "train"), encoder.card.preprocess, MARGIN)
    described = set(sentences(kept).names)
    told = np.array([row for row, name in enumerate(kept.names) if name in described], np.int64)
    made = text_adapter.fit(
        views(encoder, pictures, len(kept), VIEWS), kept.texts, lambda texts: answerable.encode(encoder, texts), told
    )
    if made is None:
        raise SystemExit("the captions have too few phrases")
    made.write(given.out)
    if given.out == EMBEDDED:  # of another folder they stay beside the map
        (EMBEDDED / WORDS).replace(OUT)
    log.info("wrote %s", given.out / FILE)


if __name__ == "__main__":
    main()
