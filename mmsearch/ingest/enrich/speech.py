"""What is said in films and audio files, heard by a model for speech.

That takes ``pip install 'mmsearch[speech]'`` and a folder with its weights.  They are listened to only where a folder
is named: it takes long.  What is said belongs to the moments in which it is said; those of audio files are made of it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

import numpy as np

from mmsearch.errors import ImageError, ModelError
from mmsearch.ingest.enrich.base import Enrichment
from mmsearch.ingest.options import IngestContext
from mmsearch.ingest.read import HeldContent
from mmsearch.ingest.sounds import is_sound
from mmsearch.media.subtitles import Cue, cues_in_parts, tidied
from mmsearch.store.types import PendingItem
from mmsearch.store.writing import StoreWriter
from mmsearch.types import Part

log = logging.getLogger(__name__)

_NOTHING = np.zeros((1, 1, 3), np.uint8)
SPEECH = "speech"  # where words stand that were heard
_SILENCE = 0.6  # probability that nobody speaks, above which what was heard is not believed: Whisper's own bound


class Transcriber(Protocol):
    """Hears what is said."""

    @property
    def engine(self) -> str:
        """Its name and model: what another one heard is replaced."""
        ...

    def transcribe(self, file: BinaryIO, path: str) -> list[Cue]:
        """What is said in a film that is open and seekable, in the order of time.  Raises ImageError."""
        ...


class Whisper:
    """Whisper models in the format of faster-whisper, on the CPU.  Nothing is fetched."""

    def __init__(self, folder: str) -> None:
        """Raises ModelError where faster-whisper is not installed, or the folder holds no model of it."""
        place = os.path.abspath(os.path.expanduser(folder))
        if not os.path.isfile(os.path.join(place, "model.bin")):
            raise ModelError(
                f"{folder} holds no model for speech: wanted is a folder with model.bin, of faster-whisper"
            )
        try:
            from faster_whisper import WhisperModel
        except ImportError as error:
            raise ModelError(
                f"hearing what is said needs faster-whisper ({error}); run: pip install 'mmsearch[speech]'"
            ) from error
        try:
            self._model: Any = WhisperModel(place, device="cpu", compute_type="int8", local_files_only=True)
        except Exception as error:  # of CTranslate2 and tokenizers, for files that are damaged or of another kind
            raise ModelError(f"{folder} holds no model for speech that can be read: {error}") from error
        size = os.path.getsize(os.path.join(place, "model.bin"))
        self.engine = f"whisper {os.path.basename(place)} {size}"

    def transcribe(self, file: BinaryIO, path: str) -> list[Cue]:
        try:
            segments, _ = self._model.transcribe(file, vad_filter=True)
            heard = [one for one in segments if one.no_speech_prob <= _SILENCE]
        except Exception as error:  # of FFmpeg and CTranslate2, on sound that they cannot digest
            raise ImageError(path, f"its sound cannot be heard: {error}") from error
        return tidied(Cue(round(1000 * one.start), round(1000 * one.end), one.text.strip()) for one in heard)


@dataclass(frozen=True)
class _Heard:
    """What was heard in a film; no cues where nothing could be."""

    cues: Sequence[Cue]


class Speech(Enrichment[PendingItem, PendingItem, "list[_Heard | None]"]):
    """What is said in films that were not listened to by this engine.

    A film whose file is gone, or holds something else by now, is left alone: the walk over the folders speaks of it.
    """

    name = "speech"
    share = "speech"
    batch = 1  # films a transaction: each takes minutes

    def __init__(self, context: IngestContext, transcriber: Transcriber) -> None:
        self._context, self._transcriber = context, transcriber

    @classmethod
    def of(cls, context: IngestContext) -> Speech:
        """Raises ModelError where there is no model in the folder that is named."""
        return cls(context, Whisper(context.options.speech))

    def pending(self) -> list[PendingItem]:
        return self._context.store.pending_speech(self._transcriber.engine, self._context.roots)

    def compute(self, batch: Sequence[PendingItem]) -> list[_Heard | None]:
        return [self._heard(film) for film in batch]

    def save(self, writer: StoreWriter, batch: Sequence[PendingItem], result: list[_Heard | None]) -> int:
        saved = 0
        for film, heard in zip(batch, result, strict=True):
            if heard is None:
                continue
            if is_sound(film.files[0].path):
                writer.put_sound_words(film.hash, SPEECH, heard.cues)
                writer.put_speech(film.content, self._transcriber.engine, {})
                saved += 1
                continue
            stored = self._context.store.parts_of(film.hash, self._context.model)
            parts = cues_in_parts([Part(_NOTHING, one.start_ms, one.end_ms) for one in stored], heard.cues)
            words = {one.item: part.text for one, part in zip(stored, parts, strict=True)}
            writer.put_speech(film.content, self._transcriber.engine, words)
            saved += 1
        return saved

    def path(self, job: PendingItem) -> str:
        return job.files[0].path

    def _heard(self, film: PendingItem) -> _Heard | None:
        with HeldContent(film, 1).piece() as (content, path):
            if content is None:
                return None
            content.seek(0)
            try:
                return _Heard(self._transcriber.transcribe(content, path))
            except ImageError as error:
                log.warning("%s: %s", path, error.reason)
                return _Heard(())
