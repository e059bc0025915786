"""Files that belong to a photo and would be lost without it: sidecars, clips of live photos, raw files of the shot."""

from __future__ import annotations

import os

from mmsearch.media.discover import picture_suffixes

SIDECARS = frozenset((".xmp", ".txt", ".json", ".aae", ".thm", ".pp3", ".dop"))
CLIPS = frozenset((".mov", ".mp4"))
RAWS = frozenset((
    ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dng", ".erf", ".iiq", ".kdc", ".mrw", ".nef", ".nrw", ".orf", ".pef",
    ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f",
))  # fmt: skip


def companions(photo: str) -> list[str]:
    """The paths of the files beside a photo that belong to it alone, sorted.

    ``a.jpg.xmp`` and ``a.jpg.supplemental-metadata.json`` belong to ``a.jpg``; ``a.xmp``, ``a.mov`` and ``a.nef`` do
    where no other picture beside it is called so, as ``a.png``: else they stay with that one.  Raises OSError.
    """
    folder, name = os.path.split(photo)
    stem = os.path.splitext(name)[0]
    pictures = picture_suffixes()
    own, shared, alone = [], [], True
    for other in sorted(os.listdir(folder)):
        other_stem, suffix = os.path.splitext(other)
        suffix = suffix.lower()
        if other == name:
            continue
        if other.startswith(f"{name}.") and suffix in SIDECARS:
            own.append(other)
        elif other_stem == stem and suffix in SIDECARS | CLIPS | RAWS:
            shared.append(other)
        elif other_stem == stem and suffix in pictures:
            alone = False
    return [os.path.join(folder, other) for other in sorted([*own, *(shared if alone else ())])]
