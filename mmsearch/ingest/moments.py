"""The parts of a file that are stored: frames of a film that show the same become one moment, pages stay as they are.

A film is read as frames some seconds apart.  Many of them show what the one before showed: a speaker, a landscape.
Each would be an item of its own, and a search would list them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mmsearch.media.dhash import as_numbers, dhash, distance
from mmsearch.media.kept_frames import NOTHING, about_of, as_kept
from mmsearch.store.types import StoredPart
from mmsearch.types import Decoded, Part, Vectors

# A frame belongs to the moment before where no more bits of its hash differ from that of the moment's first frame and
# the cosine of their vectors is no less.  Compared with the first one, so that a slow pan does not become one moment.
# Of 150 photos of Flickr8k (``python -m benchmarks.moments``, embedded model) no cut to the nearest other photo was
# folded (median 32 bits, 0.43), while 99 % of frames moved by 2 % of the width, 93 % of noisy and 100 % of darker ones
# were, and 23 % of those moved by 5 %.  The hash decides there; the cosine tells where it sees nothing: fog, black.
BITS, COSINE = 12, 0.9


@dataclass(frozen=True)
class Moments:
    """The moments of a film, each with the frame that stands for it."""

    parts: tuple[Part, ...]  # without their pixels
    frames: tuple[int, ...]  # which of the frames each is, ascending


def fold(parts: Sequence[Part], vectors: Vectors) -> Moments:
    """Neighbours that show the same as one moment, from the first one's start to the last one's end.

    ``vectors`` (n, dim) are of ``parts``.  The frame that stands for a moment is the one whose vector is nearest to the
    mean of all, so a real one.  Words of the frames are joined in their order.  Pages of a document are left as they
    are.
    """
    groups: list[list[int]] = []
    hashes, _ = as_numbers([dhash(part.pixels) for part in parts])
    parts = about_of(parts)
    for number, part in enumerate(parts):
        first = groups[-1][0] if groups else -1
        timed = part.start_ms is not None and first >= 0
        if timed and distance(hashes[first], hashes[number]) <= BITS and vectors[first] @ vectors[number] >= COSINE:
            groups[-1].append(number)
        else:
            groups.append([number])
    kept = [group[int(np.argmax(vectors[group] @ vectors[group].sum(axis=0)))] for group in groups]
    return Moments(
        tuple(_joined([parts[one] for one in group], parts[best]) for group, best in zip(groups, kept, strict=True)),
        tuple(kept),
    )


def _joined(folded: Sequence[Part], best: Part) -> Part:
    at_ms = best.start_ms if best.at_ms is None else best.at_ms
    text = "\n".join(dict.fromkeys(part.text for part in folded if part.text))
    return Part(NOTHING, folded[0].start_ms, folded[-1].end_ms, at_ms, text)


def nearest(parts: Sequence[Part], stored: Sequence[tuple[int, int | None]]) -> list[int]:
    """Which of the parts of a file that was read again items are that are stored: each by its place and its ``at_ms``.

    Frames go by time, because another version of what reads them may take others, and pages by their number.  Where a
    file does not have so many pages now, its last one serves.
    """
    times = np.array([_time(part) for part in about_of(parts)], np.int64)
    return [
        min(place, len(parts) - 1) if at_ms is None else int(np.argmin(np.abs(times - at_ms)))
        for place, at_ms in stored
    ]


def _time(part: Part) -> int:
    return next((time for time in (part.at_ms, part.start_ms) if time is not None), 0)


def as_stored(picture: Decoded, stored: Sequence[StoredPart]) -> Decoded:
    """The picture with the parts that are stored of it, and the pixels of the frames that are nearest to theirs."""
    if picture.is_sound:  # what was said in it is stored
        return replace(
            picture, parts=tuple(Part(picture.pixels, one.start_ms, one.end_ms, one.at_ms) for one in stored)
        )
    places = nearest(picture.parts, [(one.part, one.at_ms) for one in stored])
    about = [Part(NOTHING, one.start_ms, one.end_ms, one.at_ms) for one in stored]
    return replace(picture, parts=as_kept(picture.parts).chosen(places, about))
