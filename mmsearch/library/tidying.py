"""What can go from a library: files that show the same."""

from __future__ import annotations

import logging
from collections.abc import Callable

from mmsearch.config import Settings
from mmsearch.library.arguments import known_or_existing
from mmsearch.library.models import Models
from mmsearch.manage import duplicates
from mmsearch.manage.duplicates import Group, Level
from mmsearch.store.protocol import Store
from mmsearch.types import Paths, Progress

log = logging.getLogger(__name__)


def groups(
    store: Store,
    models: Models,
    settings: Settings,
    level: Level,
    within: Paths,
    threshold: float | None,
    progress: Callable[[Progress], None] | None,
) -> list[Group]:
    """See ``Library.duplicates``; what is left alone is logged."""
    stored = models.active()
    spelled = known_or_existing(store, stored, within)
    found, left = duplicates.find(
        store, stored, level, spelled, threshold, settings.max_megapixels, settings.decoders, progress
    )
    for line in duplicates.left_alone(left):
        log.warning("%s", line)
    return found
