"""Encode: the pictures of a batch of files become vectors and region tokens, and frames of films become moments."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from mmsearch.encoders.protocol import Encoder
from mmsearch.encoders.region_codec import pack
from mmsearch.ingest.moments import as_stored, fold
from mmsearch.ingest.read import Read
from mmsearch.store.types import StoredPart
from mmsearch.types import Decoded, Pixels, Vectors


@dataclass(frozen=True)
class Made:
    """What the encoder made of one file."""

    picture: Decoded  # with the parts that are stored
    vectors: Vectors  # (n, dim): of each part, or of the one picture; (n, 0) of sound
    tokens: list[bytes] | None  # packed, as many; None without
    folded: int = 0  # frames that became part of a moment of another one


@dataclass(frozen=True)
class Encoded:
    """What was made of a batch of files."""

    made: list[Made | None]  # None where there was no picture
    seconds: float


def encode(
    encoder: Encoder,
    batch: Sequence[Read],
    size: int,
    regions: bool,
    stored: Callable[[bytes], Sequence[StoredPart]],
) -> Encoded:
    """Encode the pictures of files, at most ``size`` at a time: a film has hundreds.  With ``regions``, tokens too.

    ``stored`` gives the items that there are of a content: where it has several, of another model or because some lack
    their vector, these stay, and vectors are made of the same frames.
    """
    begun = time.perf_counter()
    pictures = [None if item.picture is None else _with_items(item.picture, item, stored) for item in batch]
    with_pixels = (picture for picture in pictures if picture is not None and not picture.is_sound)
    pixels = (one for picture in with_pixels for one in pixels_of(picture))
    vectors, tokens = _encoded(encoder, pixels, size, regions)
    made: list[Made | None] = []
    start = 0
    for item, picture in zip(batch, pictures, strict=True):
        if picture is None:
            made.append(None)
            continue
        if picture.is_sound:
            made.append(Made(picture, np.zeros((len(picture.parts), 0), np.float32), None))
            continue
        end = start + (len(picture.parts) or 1)
        own = Made(picture, vectors[start:end], None if tokens is None else tokens[start:end])
        made.append(_folded(own) if picture.parts and picture is item.picture else own)
        start = end
    return Encoded(made, time.perf_counter() - begun)


def pixels_of(picture: Decoded) -> Iterator[Pixels]:
    """Of each part, or of the one picture."""
    return (part.pixels for part in picture.parts) if picture.parts else iter((picture.pixels,))


def chunks_of(pixels: Iterable[Pixels], size: int) -> Iterator[Pixels]:
    """Arrays (n, size, size, 3) of at most so many pictures."""
    waiting = iter(pixels)
    while some := list(islice(waiting, size)):
        yield np.stack(some)


def _with_items(picture: Decoded, item: Read, stored: Callable[[bytes], Sequence[StoredPart]]) -> Decoded:
    there = stored(item.content_hash) if picture.parts else ()
    return as_stored(picture, there) if there else picture


def _encoded(
    encoder: Encoder, pixels: Iterable[Pixels], size: int, regions: bool
) -> tuple[Vectors, list[bytes] | None]:
    rows: list[Vectors] = []
    packed: list[bytes] | None = [] if regions else None
    for some in chunks_of(pixels, size):
        if packed is None:
            rows.append(encoder.encode_images(some))
            continue
        vectors, tokens = encoder.encode_pictures(some)
        rows.append(vectors)
        if tokens is None:
            packed = None
        else:
            packed += pack(tokens)
    return np.concatenate(rows) if rows else np.zeros((0, encoder.card.dim), np.float32), packed


def _folded(made: Made) -> Made:
    """The frames of a film as moments; the pages of a document as they are."""
    moments = fold(made.picture.parts, made.vectors)
    frames = list(moments.frames)
    return Made(
        replace(made.picture, parts=moments.parts),
        made.vectors[frames],
        None if made.tokens is None else [made.tokens[frame] for frame in frames],
        len(made.picture.parts) - len(frames),
    )
