"""Files that belong to a photo and would be lost without it: sidecars, clips of live photos, raw files of the shot."""

from __future__ import annotations

import os
from collections.abc import Sequence

from mmsearch.ingest.enrich.takeout import keys_of_json, keys_of_photo
from mmsearch.media.formats import DOCUMENT_SUFFIXES, RAW_SUFFIXES, SOUND_SUFFIXES, VIDEO_SUFFIXES, picture_suffixes
from mmsearch.media.subtitles import subtitles_of

SIDECARS = frozenset((".xmp", ".txt", ".json", ".aae", ".thm", ".pp3", ".dop"))
CLIPS = frozenset((".mov", ".mp4"))
RAWS = RAW_SUFFIXES | {".raw"}


class Companions:
    """The files that belong to photos, found while these are moved: each folder is listed once."""

    def __init__(self) -> None:
        self._folders: dict[str, dict[str, list[str]]] = {}  # names in a folder, by what stands before the first dot
        self._takeout: dict[str, dict[str, str]] = {}  # photos in a folder -> their JSON files of Google Takeout
        self._owners: dict[str, dict[str, list[str]]] = {}  # the other way round

    def of(self, photo: str) -> list[str]:
        """The paths of the files beside a photo that belong to it alone, and are there now, sorted.

        ``a.jpg.xmp`` and ``a.jpg.supplemental-metadata.json`` belong to ``a.jpg``; ``a.xmp``, ``a.mov`` and ``a.nef``
        do where no other picture beside it is called so, as ``a.png``: else they stay with that one.  So does the JSON
        that Google Takeout wrote for several, under whatever name.  Subtitles such as ``a.en.srt`` belong to a film
        or an audio file.  Raises OSError.
        """
        folder, name = os.path.split(photo)
        stem, pictures = os.path.splitext(name)[0], picture_suffixes() - DOCUMENT_SUFFIXES
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
        if os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES | SOUND_SUFFIXES:
            names = (other for some in self._names(folder).values() for other in some)
            subtitles = subtitles_of(name, names)
            own += [other for other in subtitles if os.path.lexists(os.path.join(folder, other))]
        takeout = self._takeout[folder].get(name)
        if takeout is not None and self._alone(folder, takeout):
            own.append(takeout)
        return [os.path.join(folder, other) for other in sorted({*own, *(shared if alone else ())})]

    def _alone(self, folder: str, file: str) -> bool:
        """Whether a JSON file is there now, and of one of the photos that are."""
        photos = (photo for photo in self._owners[folder][file] if os.path.lexists(os.path.join(folder, photo)))
        return os.path.lexists(os.path.join(folder, file)) and len(list(photos)) == 1

    def _names(self, folder: str) -> dict[str, list[str]]:
        if folder not in self._folders:
            names: dict[str, list[str]] = {}
            listed = os.listdir(folder)
            for name in listed:
                names.setdefault(_start(name), []).append(name)
            self._takeout[folder] = _takeout(listed)
            owners = self._owners[folder] = {}
            for photo, file in self._takeout[folder].items():
                owners.setdefault(file, []).append(photo)
            self._folders[folder] = names
        return self._folders[folder]


def _takeout(names: Sequence[str]) -> dict[str, str]:
    """The JSON file of Google Takeout among these names that belongs to each picture among them that has one."""
    files: dict[str, str] = {}
    for name in sorted(names):
        stem, suffix = os.path.splitext(name)
        if suffix.lower() == ".json":
            for key in keys_of_json(stem):
                files.setdefault(key, name)
    suffixes = picture_suffixes() if files else frozenset()
    pictures = [name for name in names if os.path.splitext(name)[1].lower() in suffixes]
    found = {name: next((files[key] for key in keys_of_photo(name) if key in files), None) for name in pictures}
    return {name: file for name, file in found.items() if file is not None}


def _start(name: str) -> str:
    return name.partition(".")[0]
