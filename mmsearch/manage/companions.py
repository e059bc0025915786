"""Files that belong to a photo and would be lost without it: sidecars, clips of live photos, raw files of the shot."""

from __future__ import annotations

import os

from mmsearch.media.formats import RAW_SUFFIXES, picture_suffixes

SIDECARS = frozenset((".xmp", ".txt", ".json", ".aae", ".thm", ".pp3", ".dop"))
CLIPS = frozenset((".mov", ".mp4"))
RAWS = RAW_SUFFIXES | {".raw"}


class Companions:
    """The files that belong to photos, found while these are moved: each folder is listed once."""

    def __init__(self) -> None:
        self._folders: dict[str, dict[str, list[str]]] = {}  # names in a folder, by what stands before the first dot

    def of(self, photo: str) -> list[str]:
        """The paths of the files beside a photo that belong to it alone, and are there now, sorted.

        ``a.jpg.xmp`` and ``a.jpg.supplemental-metadata.json`` belong to ``a.jpg``; ``a.xmp``, ``a.mov`` and ``a.nef``
        do where no other picture beside it is called so, as ``a.png``: else they stay with that one.  Raises OSError.
        """
        folder, name = os.path.split(photo)
        stem, pictures = os.path.splitext(name)[0], picture_suffixes()
        own, shared, alone = [], [], True
        for other in self._names(folder).get(_start(name), ()):
            other_stem, suffix = os.path.splitext(other)
            suffix = suffix.lower()
            if other == name or not os.path.lexists(os.path.join(folder, other)):
                continue
            if other.startswith(f"{name}.") and suffix in SIDECARS:
                own.append(other)
            elif other_stem == stem and suffix in SIDECARS | CLIPS | RAWS:
                shared.append(other)
            elif other_stem == stem and suffix in pictures:
                alone = False
        return [os.path.join(folder, other) for other in sorted([*own, *(shared if alone else ())])]

    def _names(self, folder: str) -> dict[str, list[str]]:
        if folder not in self._folders:
            names: dict[str, list[str]] = {}
            for name in os.listdir(folder):
                names.setdefault(_start(name), []).append(name)
            self._folders[folder] = names
        return self._folders[folder]


def _start(name: str) -> str:
    return name.partition(".")[0]
