"""Every suffix that means something here: which library reads it, what is lost, and what is passed over.

``docs/formats.md`` says the same to people; a test compares them.
"""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Format:
    """Pictures of one kind."""

    name: str  # as Pillow calls it, in lower case: ``Decoded.format``
    suffixes: tuple[str, ...]
    reader: str  # the library that decodes it
    module: str | None = None  # that has to be there, where it is an extra
    extra: str | None = None  # of this package, that brings it


def _film(name: str, *suffixes: str) -> Format:
    return Format(name, suffixes, "PyAV (FFmpeg)", "av", "video")


def _sound(name: str, *suffixes: str) -> Format:
    return Format(name, suffixes, "PyAV (FFmpeg), words alone", "av", "video")


SOUND_FORMATS = (
    _sound("mp3", ".mp3"),
    _sound("m4a", ".m4a", ".m4b", ".aac"),
    _sound("flac", ".flac"),
    _sound("ogg", ".ogg", ".oga", ".opus"),
    _sound("wav", ".wav"),
    _sound("aiff", ".aif", ".aiff"),
    _sound("wma", ".wma"),
    _sound("mka", ".mka"),
)
FORMATS = (
    Format("jpeg", (
        ".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".pjpeg", ".pjp", ".jpg_large", ".jpg-large", ".insp",
    ), "Pillow"),
    Format("mpo", (".mpo", ".jps"), "Pillow"),
    Format("png", (".png", ".apng"), "Pillow"),
    Format("webp", (".webp",), "Pillow"),
    Format("avif", (".avif", ".avifs"), "Pillow"),
    Format("gif", (".gif",), "Pillow"),
    Format("tiff", (".tif", ".tiff"), "Pillow"),
    Format("bmp", (".bmp", ".dib"), "Pillow"),
    Format("ppm", (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"), "Pillow"),
    Format("ico", (".ico",), "Pillow"),
    Format("tga", (".tga",), "Pillow"),
    Format("pcx", (".pcx",), "Pillow"),
    Format("dds", (".dds",), "Pillow"),
    Format("jpeg2000", (".jp2", ".j2k", ".jpf", ".jpx", ".jpc", ".j2c"), "Pillow"),
    Format("psd", (".psd",), "Pillow"),
    Format("heif", (".heic", ".heif", ".heics", ".heifs", ".hif"), "pillow-heif", "pillow_heif", "heic"),
    Format("jxl", (".jxl",), "pillow-jxl-plugin", "pillow_jxl", "jxl"),
    Format("raw", (
        ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".gpr", ".iiq", ".kdc", ".mef", ".mos",
        ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f",
    ), "rawpy (LibRaw)", "rawpy", "raw"),
    _film("mp4", ".mp4", ".m4v", ".insv"),
    _film("mov", ".mov"),
    _film("mkv", ".mkv"),
    _film("webm", ".webm"),
    _film("avi", ".avi"),
    _film("mpegts", ".mts", ".m2ts"),
    _film("3gp", ".3gp"),
    _film("mpeg", ".mpg", ".mpeg", ".vob"),
    _film("wmv", ".wmv"),
    _film("ogv", ".ogv"),
    _film("flv", ".flv"),
    *SOUND_FORMATS,
    Format("pdf", (".pdf",), "pypdfium2 (PDFium)", "pypdfium2", "pdf"),
)  # fmt: skip

# What a walk passes over and counts, because somebody may look for it: one of a kind and several, and its suffixes.
PASSED_OVER = {
    ("drawing", "drawings"): (".ai", ".cdr", ".emf", ".eps", ".svg", ".svgz", ".wmf"),
    ("layered picture", "layered pictures"): (".afphoto", ".clip", ".kra", ".psb", ".procreate", ".xcf"),
    ("measured picture", "measured pictures"): (".dcm", ".exr", ".fit", ".fits", ".hdr"),
    ("document", "documents"): (".djvu",),
}  # fmt: skip
# What files are called that are passed over without their extra, by its name.
_NAMES = {
    "raw": ("raw file", "raw files"),
    "jxl": ("JXL", "JXL"),
    "video": ("video", "videos"),
    "pdf": ("document", "documents"),
}

SUFFIXES = frozenset(suffix for one in FORMATS if one.module is None for suffix in one.suffixes)  # always read
_SOUND_NAMES = frozenset(("sound", *(one.name for one in SOUND_FORMATS)))
SOUND_SUFFIXES = frozenset(suffix for one in SOUND_FORMATS for suffix in one.suffixes)
HEIF_SUFFIXES, JXL_SUFFIXES, RAW_SUFFIXES, VIDEO_SUFFIXES, DOCUMENT_SUFFIXES = (
    frozenset(suffix for one in FORMATS if one.extra == extra for suffix in one.suffixes) - SOUND_SUFFIXES
    for extra in ("heic", "jxl", "raw", "video", "pdf")
)
_KINDS = {
    **{suffix: kind for kind, suffixes in PASSED_OVER.items() for suffix in suffixes},
    **{suffix: _NAMES[one.extra] for one in FORMATS if one.extra in _NAMES for suffix in one.suffixes},
    **dict.fromkeys(sorted(SOUND_SUFFIXES), ("audio file", "audio files")),
}


def picture_suffixes() -> frozenset[str]:
    """The suffixes (lower case, with the dot) of the files that are read on this machine."""
    modules = {one.module for one in FORMATS if one.module is not None}
    there = {None, *(module for module in modules if importlib.util.find_spec(module) is not None)}
    return frozenset(suffix for one in FORMATS if one.module in there for suffix in one.suffixes)


def counted_suffixes() -> frozenset[str]:
    """The suffixes of the files that are passed over on this machine and counted."""
    return frozenset(_KINDS) - picture_suffixes()


def counted(suffixes: Mapping[str, int]) -> str:
    """Files that were passed over, by suffix, in words: ``4 raw files, 1 JXL``, the most first."""
    kinds = Counter[tuple[str, str]]()
    for suffix, number in suffixes.items():
        kinds[_KINDS[suffix]] += number
    most = sorted(kinds.items(), key=lambda one: (-one[1], one[0]))
    return ", ".join(f"{number:,} {kind[number > 1]}" for kind, number in most)


def needs_extra(name: str) -> str:
    """What to say of a file of a format whose library is not installed; ``name`` is that of ``Format``, or "video"."""
    extra = "video" if name == "sound" else next((one.extra for one in FORMATS if one.name == name), name)
    called = {"heic": "HEIC", "jxl": "JPEG XL", "raw": "a raw file", "video": "a video", "pdf": "a PDF"}[str(extra)]
    called = "sound" if name in _SOUND_NAMES else called
    return f"{called} needs the extra: pip install 'mmsearch[{extra}]'"
