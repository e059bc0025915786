"""Audio files in the report of an index run.

Whether one can be found is known at the end only, when subtitles beside it were read and somebody listened to it: so
they are counted then, by what the store knew of them before and knows now.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

from mmsearch.media.formats import SOUND_SUFFIXES
from mmsearch.store.types import StoredSound
from mmsearch.types import IndexReport, Note

WORDLESS = "wordless"  # state of those that have no words


def is_sound(path: str) -> bool:
    """Whether a file is read as an audio file, by its name."""
    return os.path.splitext(path)[1].lower() in SOUND_SUFFIXES


def with_sounds(
    report: IndexReport, before: Mapping[str, StoredSound], after: Mapping[str, StoredSound]
) -> IndexReport:
    """The report with the audio files in it, by path as they were ``before`` the run and are ``after`` it."""
    if not after:
        return report
    known = {sound.id: (path, sound) for path, sound in before.items()}
    counts = dict.fromkeys(("added", "updated", "moved", "restored", "unchanged"), 0)
    for path, sound in after.items():
        old_path, old = known.get(sound.id, ("", None))
        if sound.state != "ok":
            continue
        if old is None or old.state in (WORDLESS, "failed"):
            counts["added"] += 1
        elif old.content != sound.content:
            counts["updated"] += 1
        elif old_path != path:
            counts["moved"] += 1
        else:
            counts["restored" if old.state == "missing" else "unchanged"] += 1
    gone = {sound.id for sound in after.values() if sound.state == "missing"}
    never_found = sum(sound.state == WORDLESS and sound.id in gone for sound in before.values())
    wordless = sum(sound.state == WORDLESS for sound in after.values())
    notes = report.notes
    if wordless:
        files = "audio file without words was" if wordless == 1 else "audio files without words were"
        notes = (*notes, Note(f"{wordless:,} {files} passed over", "without-words", count=wordless))
    return replace(
        report,
        removed=report.removed - never_found,
        notes=notes,
        **{name: getattr(report, name) + count for name, count in counts.items()},
    )
