"""A close look at one photo: what is to be seen, answers to questions, and where the words of a text are found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmsearch.encoders.protocol import Encoder
from mmsearch.errors import ImageError, ModelError, QuerySyntaxError
from mmsearch.media.apart import decode_apart
from mmsearch.media.decode import seen
from mmsearch.media.filesystem import open_regular
from mmsearch.media.kinds import NO_PICTURE
from mmsearch.media.part_picture import Place, part_pixels, upright_part
from mmsearch.rerank import heat
from mmsearch.rerank.captions import Caption
from mmsearch.rerank.heat import Heat, WordHeat
from mmsearch.rerank.reranker import Answer, Reranker
from mmsearch.rerank.timeline import Timeline, timeline
from mmsearch.types import Regions

By = Literal["match", "attention"]


@dataclass(frozen=True)
class Explanation:
    """How well a text fits a photo, and where its words are found; ``heat.py`` says what heat is."""

    photo: str
    text: str
    score: float  # the reranker's match, a logit: higher is better, of any text and photo
    words: tuple[WordHeat, ...]
    overall: Heat  # of the whole text
    by: By  # the kind of heat


def nothing_stored(path: str, part: int) -> Regions | None:
    """Where there is no library: no photo is known."""
    return None


@dataclass(frozen=True)
class Looker:
    """An encoder and its reranker, to look at photos with.  Each method raises ImageError for one it cannot read.

    Of a film it looks at one frame, of a document at one page: at what shows it best, or what ``at`` names.
    """

    encoder: Encoder
    reranker: Reranker
    max_megapixels: float = 200.0
    # Region tokens (1, side * side, dim) of a known path, and of which of its parts.
    stored: Callable[[str, int], Regions | None] = nothing_stored
    place: Place | None = None

    def at(self, place: Place | None) -> Looker:
        """One that looks at this frame of films, or page of documents."""
        return replace(self, place=place)

    def caption(self, path: str, alternatives: int = 0) -> list[Caption]:
        """What the photo shows: the best caption, then up to ``alternatives`` others, best first."""
        return self.reranker.caption(self.tokens(path), alternatives=1 + alternatives)[0]

    def ask(self, path: str, question: str, k: int = 3) -> list[Answer]:
        """The ``k`` most likely answers, best first.  Raises QuerySyntaxError for an empty question."""
        if not question.strip():
            raise QuerySyntaxError("the question is empty")
        return self.reranker.answer(question, self.tokens(path), k)[0]

    def explain(self, path: str, text: str, by: By = "match") -> Explanation:
        """How well the text fits, and where its words are found.  Raises QuerySyntaxError for a text without words."""
        if not any(char.isalnum() for char in text):
            raise QuerySyntaxError(f"the text {text!r} has no words to look for")
        tokens = self.tokens(path)
        look = self.reranker.look(text, tokens)
        if by == "match":

            def match(part: str, photos: Regions) -> NDArray[np.float32]:
                return self.reranker.look(part, photos).match

            words, whole = heat.match_heat(match, text, look.words, tokens)
        else:
            words = heat.attention_heat(look.words, look.attention[0])
            whole = heat.overall(words)
        return Explanation(path, text, round(float(look.match[0]), 4), tuple(words), whole, by)

    def over_time(self, path: str, text: str) -> Timeline | None:
        """How well the text fits each part of a film or a document; None for a photo.

        Raises QuerySyntaxError for a text without words, ImageError.
        """
        if not any(char.isalnum() for char in text):
            raise QuerySyntaxError(f"the text {text!r} has no words to look for")
        try:
            with open_regular(path) as file:
                decoded = decode_apart(file, path, self.encoder.card.preprocess, self.max_megapixels)
        except OSError as error:
            if self.stored(path, 0) is not None:
                return None  # what is known of a photo whose drive is away can still be explained
            raise ImageError(path, error.strerror or str(error), retry=True) from error
        if decoded.is_sound:
            raise ImageError(path, NO_PICTURE)
        return timeline(self.encoder, decoded, path, text) if decoded.parts else None

    def draw(self, explanation: Explanation) -> Image.Image:
        """The photo with the heat over it, see ``heat.draw``."""
        path = explanation.photo
        try:
            with open_regular(path) as file:
                _, size = part_pixels(file, path, self.place, self.encoder.card.preprocess, self.max_megapixels)
                shown = upright_part(file, path, self.place, heat.PANEL, self.max_megapixels)
        except OSError as error:
            reason = f"{error.strerror or error}: nothing can be drawn over it"
            raise ImageError(path, reason, code="nothing-to-draw-over") from error
        part = seen(*size, self.encoder.card.preprocess)
        return heat.draw(shown, explanation.words, explanation.overall, part)

    def tokens(self, path: str) -> Regions:
        """The photo's region tokens, (1, side * side, dim); the stored ones where its file is gone.

        Raises ModelError where the encoder gives none.
        """
        try:
            with open_regular(path) as file:
                return self._encoded(file, path)
        except OSError as error:
            stored = self.stored(path, self.place.part if self.place else 0)
            if stored is None:
                raise ImageError(path, error.strerror or str(error), retry=True) from error
            return stored

    def _encoded(self, file: BinaryIO, path: str) -> Regions:
        pixels, _ = part_pixels(file, path, self.place, self.encoder.card.preprocess, self.max_megapixels)
        tokens = self.encoder.encode_pictures(pixels[None])[1]
        if tokens is None:
            raise ModelError(f"the model {self.encoder.card.name} gives no region tokens, so nothing can look closely")
        return tokens
