"""The enrichments, in the order in which an index run does them, with what switches each on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mmsearch.ingest.enrich.base import Enrichment
from mmsearch.ingest.enrich.captions import Captions
from mmsearch.ingest.enrich.metadata import Metadata
from mmsearch.ingest.enrich.ocr import OcrTexts
from mmsearch.ingest.enrich.regions import RegionTokens
from mmsearch.ingest.enrich.sidecars import Sidecars
from mmsearch.ingest.enrich.speech import Speech
from mmsearch.ingest.enrich.tags import Tags
from mmsearch.ingest.options import IngestContext

AnyEnrichment = Enrichment[Any, Any, Any]


@dataclass(frozen=True)
class Registration:
    """An enrichment that index runs do."""

    kind: type[AnyEnrichment]
    make: Callable[[IngestContext], AnyEnrichment | None]  # None where the model has no use for it
    on: Callable[[IngestContext], bool]  # whether a run does it


def always(_: IngestContext) -> bool:
    """Every index run does it."""
    return True


def with_regions(context: IngestContext) -> bool:
    """Where the settings want region tokens."""
    return context.options.regions


def with_speech(context: IngestContext) -> bool:
    """Where a folder with a model for speech is named."""
    return bool(context.options.speech)


def asked(name: str) -> Callable[[IngestContext], bool]:
    """Only runs that name it, in ``Options.asked``."""
    return lambda context: name in context.options.asked


INDEX: tuple[Registration, ...] = (
    Registration(Sidecars, Sidecars.of, always),
    Registration(RegionTokens, RegionTokens.of, with_regions),
    Registration(Metadata, Metadata.of, always),
    Registration(Captions, Captions.of, asked(Captions.name)),
    Registration(OcrTexts, OcrTexts.of, asked(OcrTexts.name)),
    Registration(Speech, Speech.of, with_speech),
)
# Those that have a command of their own, with arguments of its own: ``Library.tag``.
BY_ITSELF: tuple[type[AnyEnrichment], ...] = (Tags,)


def chosen(context: IngestContext, registered: Sequence[Registration] | None = None) -> list[AnyEnrichment]:
    """What this run does of those that are registered, in order; ``INDEX`` by default.

    They are made before any work: raises ModelError where what one needs is not there.
    """
    made = [one.make(context) for one in (INDEX if registered is None else registered) if one.on(context)]
    return [enrichment for enrichment in made if enrichment is not None]
