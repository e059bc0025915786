"""Values that travel between the parts: all frozen, none knows where it is stored."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from mmsearch.errors import Note as Note

if TYPE_CHECKING:
    from PIL import Image

PathLike: TypeAlias = str | os.PathLike[str]
Paths: TypeAlias = PathLike | Sequence[PathLike]  # one, or several
# A picture in memory: the bytes of a picture file, a Pillow image, or pixels (height, width, 3) uint8 in RGB.
PictureData: TypeAlias = "bytes | bytearray | memoryview | Image.Image | NDArray[np.uint8]"

Vectors = NDArray[np.float32]  # (n, dim), unit rows
Regions = NDArray[np.float32]  # (n, side * side, dim): what is where in n pictures, rows of a grid in reading order
Ids = NDArray[np.int64]  # (n,)
Pixels = NDArray[np.uint8]  # (height, width, 3), or (n, height, width, 3)

PARTS = ("vectors", "words", "tokens")  # of a library, that a search does without where they do not answer
SIDES = (160, 320, 640, 1280)  # pixels of the longer side of thumbnails


def path_list(paths: Paths) -> list[PathLike]:
    """One path as a list of it, several as a list of them."""
    return [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)


@dataclass(frozen=True)
class Preprocess:
    """How a model wants its pictures: the fields and meanings of open_clip's ``PreprocessCfg``.

    Resizing and cropping are done with Pillow, mean and std by the encoder.
    """

    size: int  # pixels a side
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    resize_mode: Literal["shortest", "longest", "squash"] = "shortest"
    fill_color: int = 0  # 0 to 255, of the border in mode "longest"


@dataclass(frozen=True)
class Exif:
    """When, with what and where a picture was taken; None where nobody says it, or nonsense.

    As the camera wrote it into the file, or a person or program did, there or in a file beside it: docs/indexing.md has
    who is believed.
    """

    taken_at: datetime | None = None  # local time of the camera; has a time zone only where the file gives one
    camera: str | None = None
    lens: str | None = None
    latitude: float | None = None  # degrees, north positive
    longitude: float | None = None  # degrees, east positive
    iso: int | None = None  # sensitivity
    aperture: float | None = None  # the f-number
    exposure: float | None = None  # seconds
    focal: float | None = None  # focal length of the lens in millimetres, not that for 35 mm film
    content_identifier: str | None = None  # Apple's: both files of a live photo have the same


@dataclass(frozen=True)
class Annotations:
    """What people, or their programs, noted of a picture in fields of their own, in the file or beside it."""

    city: str | None = None  # where it was taken, or what it shows
    people: tuple[str, ...] = ()  # names of those who are in it
    rating: int | None = None  # stars, 1 to 5; -1: rejected
    label: str | None = None  # most often a colour, as the program calls it


@dataclass(frozen=True)
class Sidecar:
    """What the files beside a photo say of it."""

    text: str = ""
    exif: Exif = field(default_factory=Exif)  # of XMP: goes before what the picture's file says; when and where only
    annotations: Annotations = field(default_factory=Annotations)  # the same; people are added to those in the file
    fallback: Exif = field(default_factory=Exif)  # of Google Takeout: where nobody else says it


@dataclass(frozen=True)
class Part:
    """One of the pictures of a file that holds several: a moment of a film, a page of a document."""

    pixels: Pixels  # (size, size, 3)
    start_ms: int | None = None  # of a moment of a film, from its beginning; None for a page
    end_ms: int | None = None
    at_ms: int | None = None  # the frame that the pixels are of
    text: str = ""  # words that belong to it: what is said in the moment, what stands on the page


@dataclass(frozen=True)
class Film:
    """What is known of a video beside what any picture has; of an audio file the same but for its pictures."""

    duration_ms: int
    fps: float | None = None  # frames a second, on average
    codec: str | None = None  # of its pictures, or of sound alone, in lower case: "h264", "hevc", "av1", "mp3", "flac"
    audio: bool = False  # whether it has sound

    def to_dict(self) -> dict[str, Any]:
        """Keys of ``Photo.to_dict`` for films: ``length`` in seconds, ``fps``, ``codec``, ``audio``."""
        return {"length": self.duration_ms / 1000, "fps": self.fps, "codec": self.codec, "audio": self.audio}


@dataclass(frozen=True)
class Decoded:
    """A picture ready for an encoder, or the pictures of a file that holds several."""

    pixels: Pixels  # (size, size, 3); of several, those of the one that shows the file best
    width: int  # of the upright original, in pixels
    height: int
    format: str  # Pillow's name in lower case, such as "jpeg"; of films and sound as media/formats.py calls it
    exif: Exif
    description: str | None = None  # what was written into the file about the picture
    damage: str | None = None  # what of it could not be read, in words
    annotations: Annotations = field(default_factory=Annotations)
    parts: Sequence[Part] = ()  # in the order of time or of pages; none where the picture is the whole file
    film: Film | None = None
    dhash: bytes | None = None  # the hash of its looks (``media/dhash.py``), where it comes without its pixels

    @property
    def is_sound(self) -> bool:
        """Whether it is sound alone: then there are no pixels, and its parts are times with words."""
        return not self.width


@dataclass(frozen=True)
class Found:
    """A file that may be a picture, as the walk saw it."""

    path: str  # absolute; bytes that are no UTF-8 are surrogates, as os.fsdecode makes them
    size: int  # bytes
    mtime_ns: int
    real: str | None = field(default=None, compare=False)  # where it lies, if the walk came by a link below its root


@dataclass(frozen=True)
class Skipped:
    """A file or folder that could not be read, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Damaged:
    """A picture that was read as far as it goes, and what of it could not be read."""

    path: str
    what: str


@dataclass(frozen=True)
class Photo:
    """A stored picture.

    ``id`` names it for as long as the library knows it: it stays when the file is moved or renamed, changes or is away
    for a while, and is indexed again, and is never given to another file.  So it is the id of the file, not that of its
    content or item, which copies share and an edited file changes.  A file that was removed and is indexed once more
    gets a new one.
    """

    path: str
    width: int
    height: int
    format: str
    size: int  # bytes
    mtime_ns: int
    exif: Exif = field(default_factory=Exif)
    caption: str | None = None  # what a reranker said of it, where it was asked
    description: str | None = None  # what was written into the file, or beside it
    text: str | None = None  # what was read in the picture
    tags: tuple[str, ...] = ()  # those that people gave it first, then what a model says, the surest first
    annotations: Annotations = field(default_factory=Annotations)  # town, people, stars, label
    id: int = 0  # of the file in its library; 0 for a photo of no library
    film: Film | None = None  # of a video or an audio file
    own_tags: tuple[str, ...] = ()  # of ``tags``, those that people gave it

    @property
    def is_sound(self) -> bool:
        """Whether it is an audio file: 0 x 0 pixels, found by words alone."""
        return not self.width and self.film is not None

    @property
    def date(self) -> datetime:
        """When it was taken; where the file does not say, when it was last written (local time)."""
        return self.exif.taken_at or datetime.fromtimestamp(self.mtime_ns / 1e9)

    def to_dict(self) -> dict[str, Any]:
        """The photo as ``json.dumps`` takes it; what is known of some photos only has its key where it is known.

        Keys are a promise: none is renamed or taken away, new ones may come.
        """
        noted = {
            "city": self.annotations.city,
            "people": list(self.annotations.people) or None,
            "rating": self.annotations.rating,
            "label": self.annotations.label,
        }
        exif = self.exif
        shot = {"iso": exif.iso, "aperture": exif.aperture, "exposure": exif.exposure, "focal": exif.focal}
        words = {"description": self.description, "text": self.text, "tags": list(self.tags) or None}
        words["own_tags"] = list(self.own_tags) or None
        return {
            "path": self.path,
            "width": self.width,
            "height": self.height,
            "format": self.format,
            "bytes": self.size,
            "date": self.date.isoformat(timespec="seconds"),
            "taken_at": self.exif.taken_at.isoformat() if self.exif.taken_at else None,
            "camera": self.exif.camera,
            "lens": self.exif.lens,
            "latitude": self.exif.latitude,
            "longitude": self.exif.longitude,
            "caption": self.caption,
            **(self.film.to_dict() if self.film else {}),
            **_known(shot),
            **_known(words),
            **_known(noted),
        }


def _known(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class Moment:
    """A part of a found file: a moment of a film, or a page of a document."""

    part: int  # its place among the parts of the file, from 0
    score: float  # of this part: the best one has that of its hit
    start_ms: int | None = None  # from the beginning of the film; None for a page
    end_ms: int | None = None
    at_ms: int | None = None  # the frame that shows it
    text: str = ""  # words that belong to it

    @property
    def page(self) -> int | None:
        """The number of the page, from 1; None for a moment of a film."""
        return self.part + 1 if self.start_ms is None else None

    def to_dict(self) -> dict[str, Any]:
        """The part as ``json.dumps`` takes it: ``start``, ``end`` and ``at`` in seconds, or ``page``; and its score.

        ``part`` counts from 0, ``page`` from 1.
        """
        if self.start_ms is None or self.end_ms is None or self.at_ms is None:
            place: dict[str, Any] = {"page": self.page}
        else:
            place = {"start": self.start_ms / 1000, "end": self.end_ms / 1000, "at": self.at_ms / 1000}
        return {"part": self.part, **place, "score": self.score, **({"text": self.text} if self.text else {})}


@dataclass(frozen=True)
class Hit:
    """A found picture.

    >>> hit = library.search("a man with a camera")[0]
    >>> hit.rank, os.path.basename(hit.path), hit.photo.width, hit.photo.format, hit.reasons
    (1, 'cameraman.png', 512, 'png', ('name: cameraman',))
    """

    rank: int  # 1 is the best
    # What hits are ranked by; higher is better, within one query: the cosine similarity less the photo's hubness, up to
    # 1 more for words that are written about it, and what reranking makes of that.  It is no cosine, and may exceed 1.
    score: float | None  # None where nothing was looked for: conditions alone rank nothing
    photo: Photo
    first_stage: float | None = None  # its similarity, on the scale of cosines, where the picture was reranked
    answer: str | None = None  # where the query is a question
    answer_confidence: float | None = None  # its probability, of yes against no or among all answers, in [0, 1]
    relevance: float | None = None  # probability that it is what the query means, in [0, 1]; None where unknown
    reasons: tuple[str, ...] = ()  # where words of the query were found, such as "name: IMG_2041"
    similar: tuple[str, ...] = ()  # paths of near-duplicates, or of the raw file of its shot, that this hit stands for
    moments: tuple[Moment, ...] = ()  # of a film or a document: its best parts, the best one first

    @property
    def path(self) -> str:
        return self.photo.path

    def to_dict(self) -> dict[str, Any]:
        """The hit as ``json.dumps`` takes it; what is known of some hits only has its key where it is known.

        >>> hit = library.search("a man with a camera", k=1)[0].to_dict()
        >>> hit["rank"], hit["width"], hit["format"], hit["reasons"]
        (1, 512, 'png', ['name: cameraman'])
        """
        judged = {
            "first_stage": self.first_stage,
            "answer": self.answer,
            "answer_confidence": self.answer_confidence,
            "relevance": self.relevance,
            "reasons": list(self.reasons) or None,
            "similar": list(self.similar) or None,
            "moments": [moment.to_dict() for moment in self.moments] or None,
        }
        photo = self.photo.to_dict()
        return {"rank": self.rank, "path": photo.pop("path"), "score": self.score, **_known(judged), **photo}


@dataclass(frozen=True, eq=False)
class SearchResult(Sequence[Hit]):
    """A page of hits, best first: a sequence that equals any list of the same hits, and becomes a list with ``+``.

    A cursor for the next page is ``next_offset`` with the query, and ``generation``: a page that has the same one was
    cut from the same pictures, one that has another (or None) was not, so hits may be lacking or come twice between
    them.
    """

    hits: tuple[Hit, ...] = ()
    notes: tuple[Note, ...] = ()  # what a person should know, such as that nothing was reranked
    next_offset: int | None = None  # where the next page begins, which may be empty; None where there are no more hits
    # Of the library: it grows whenever pictures come or go, as in ``status``.  None where some did during the search.
    generation: int | None = None

    @property
    def unreachable(self) -> frozenset[str]:
        """Those of ``PARTS`` that did not answer: pages go on from each other only where they are the same."""
        codes = {note.code for note in self.notes}
        return frozenset(part for part in PARTS if f"{part}-unreachable" in codes)

    @overload
    def __getitem__(self, key: int) -> Hit: ...

    @overload
    def __getitem__(self, key: slice) -> list[Hit]: ...

    def __getitem__(self, key: int | slice) -> Hit | list[Hit]:
        return list(self.hits[key]) if isinstance(key, slice) else self.hits[key]

    def to_dict(self) -> dict[str, Any]:
        """The page as ``json.dumps`` takes it: hits, notes, where the next one begins, the state of the library."""
        return {
            "hits": [hit.to_dict() for hit in self.hits],
            "notes": [note.to_dict() for note in self.notes],
            "next_offset": self.next_offset,
            "generation": self.generation,
        }

    def __len__(self) -> int:
        return len(self.hits)

    def __eq__(self, other: object) -> bool:
        """Whether the hits are the same; notes and offsets do not count."""
        if not isinstance(other, (SearchResult, list, tuple)):
            return NotImplemented
        return list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # as of a list

    def __add__(self, other: Sequence[Hit]) -> list[Hit]:
        return [*self, *other]

    def __radd__(self, other: Sequence[Hit]) -> list[Hit]:
        return [*other, *self]


@dataclass(frozen=True)
class Progress:
    """How far an ``index`` run, or the photos and captions of an ``eval`` run, are."""

    done: int  # files read so far, good or bad
    total: int  # files to read
    path: str  # the file just finished
    # "pictures" are read and encoded; "regions", "facts" and so on are enrichments (``ingest/enrich/registry.py``);
    # "reranking": a caption of an ``eval`` run, in ``path``; "duplicates" are compared; "index": vectors put into one
    step: str = "pictures"


@dataclass(frozen=True)
class IndexReport:
    """What an ``index`` run did."""

    added: int = 0  # new pictures that can now be found
    updated: int = 0  # known files with new content
    moved: int = 0  # known content at a new path; not encoded again
    restored: int = 0  # files that had vanished and are back; not encoded again
    unchanged: int = 0
    removed: int = 0  # files that are gone or left out: kept in the library as missing, not searched
    excluded: int = 0  # of these, files that are there, and left out now
    skipped: tuple[Skipped, ...] = ()
    damaged: tuple[Damaged, ...] = ()  # of those that were read now
    passed_over: dict[str, int] = field(default_factory=dict)  # suffix -> files that are no pictures here, as videos
    encoded: int = 0  # pictures that got a vector; a film has one for each moment, a document for each page
    moments: int = 0  # of these, moments of films
    pages: int = 0  # of these, pages of documents
    folded: int = 0  # frames of the films that showed the same as one before, and became part of its moment
    enriched: dict[str, int] = field(default_factory=dict)  # name of an enrichment -> pictures that it was stored of
    seconds: float = 0.0
    model: str = ""
    notes: tuple[str, ...] = ()  # sentences the user should read, such as "… is empty: is its drive connected?"
    shares: dict[str, float] = field(default_factory=dict)  # step -> its busy seconds, summed over threads
    readers: int = 1  # threads that read and decode; each other step has one

    @property
    def regions(self) -> int:
        """Pictures that got region tokens in a pass of their own: indexed before, or those of another model."""
        return self.enriched.get("regions", 0)

    @property
    def captions(self) -> int:
        """Pictures that got a caption."""
        return self.enriched.get("captions", 0)

    @property
    def facts(self) -> int:
        """Pictures indexed before whose description and hash were read now."""
        return self.enriched.get("facts", 0)

    @property
    def texts(self) -> int:
        """Pictures that were looked at for text inside them."""
        return self.enriched.get("texts", 0)

    @property
    def with_text(self) -> int:
        """Of these, the pictures in which some text was read."""
        return self.enriched.get("with_text", 0)

    @property
    def sidecars(self) -> int:
        """Photos whose files beside them, such as photo.txt, were read."""
        return self.enriched.get("sidecars", 0)

    @property
    def pace(self) -> float | None:
        """Pictures read and encoded a second; None where there were none."""
        again = "tokens" in self.shares  # of another model: what was encoded got them too
        encoded = max(self.encoded, self.regions) if again else self.encoded + self.regions
        return encoded / self.seconds if encoded and self.seconds else None

    @property
    def limit(self) -> str | None:
        """The step that was busy for most of the time, and so decided how long it took; None where nothing was read."""
        busy = {step: share / (self.readers if step == "read" else 1) for step, share in self.shares.items()}
        return max(busy, key=lambda step: busy[step]) if any(busy.values()) else None
