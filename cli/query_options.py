"""The options of ``mmsearch query`` that say the same as fields of the query language, for scripts.

Each may be given several times: then all of them must hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from mmsearch.cli import formatting

if TYPE_CHECKING:
    from mmsearch.query.model import Query

Texts = list[str] | None


PANEL = "For scripts, the same as fields of the query (--help-fields tells more)"
FIELDS: dict[str, str] = {}  # field of the query language with an option of its own -> what it says


def _option(name: str, metavar: str, text: str) -> typer.models.OptionInfo:
    if name not in ("where", "not"):
        FIELDS[name] = text
    panel = None if name in ("not", "sort") else PANEL
    option: typer.models.OptionInfo = typer.Option(f"--{name}", metavar=metavar, help=text, rich_help_panel=panel)
    return option


WhereOption = Annotated[
    Texts, _option("where", "EXPR", 'Conditions in the query language: "date:2024 type:jpeg,png -camera:fuji".')
]
DateOption = Annotated[
    Texts, _option("date", "DATES", "Taken then: 2024, 2024-06, 2024-06-01..2024-06-15, >2024, june-2021, last week.")
]
TakenOption = Annotated[Texts, _option("taken", "DATES", "The same, only by dates that the camera wrote.")]
CameraOption = Annotated[Texts, _option("camera", "NAME", "A part of the camera's make or model.")]
LensOption = Annotated[Texts, _option("lens", "NAME", "A part of the lens's name.")]
CityOption = Annotated[Texts, _option("city", "NAME", "A part of the town's name, as it is written in the file.")]
PersonOption = Annotated[Texts, _option("person", "NAME", "A part of the name of somebody in it. May be repeated.")]
RatingOption = Annotated[Texts, _option("rating", "STARS", "Such as 5, >=4 or 3..5.")]
LabelOption = Annotated[Texts, _option("label", "NAME", "A part of its label, such as red.")]
ClusterOption = Annotated[
    Texts, _option("cluster", "NAME", "The number of a cluster of the map, or words of its name.")
]
AlbumOption = Annotated[Texts, _option("album", "NAME", "A part of the name of a folder that it lies in.")]
IsoOption = Annotated[Texts, _option("iso", "NUMBER", "Such as 800, >=1600 or 100..400.")]
ApertureOption = Annotated[Texts, _option("aperture", "NUMBER", "Such as f/2.8 or <4, of the f-number.")]
ExposureOption = Annotated[Texts, _option("exposure", "SECONDS", "Such as 1/250, >1s or 1/60..1/15.")]
FocalOption = Annotated[Texts, _option("focal", "MM", "The lens's focal length: 50mm, 24..70.")]
LengthOption = Annotated[Texts, _option("length", "TIME", "Of a film or audio file: >30s, 1:30..5:00, <1h.")]
FpsOption = Annotated[Texts, _option("fps", "NUMBER", "Frames a second of a film: >=50, 24..30.")]
CodecOption = Annotated[Texts, _option("codec", "NAME", "A part of the name of a film's codec: h264, hevc, av1.")]
AtOption = Annotated[Texts, _option("at", "TIME", "Only there in films: 1:20..2:00, <30s.")]
NearOption = Annotated[Texts, _option("near", "LAT,LON,DIST", "Taken near a place: 48.85,2.35,10km (m, km, mi).")]
TypeOption = Annotated[
    Texts, _option("type", "FORMAT", "photo, video, audio, document, or the file's format: jpeg, png, heic, mp4, ...")
]
WidthOption = Annotated[Texts, _option("width", "PIXELS", "Such as >2000, 1000..2000 or =640.")]
HeightOption = Annotated[Texts, _option("height", "PIXELS", "Such as >2000, 1000..2000 or =640.")]
MegapixelsOption = Annotated[Texts, _option("megapixels", "NUMBER", "Such as >12 or 8..12.")]
SizeOption = Annotated[Texts, _option("size", "BYTES", "Of the file: >5MB, 100kB..2MB.")]
OrientationOption = Annotated[Texts, _option("orientation", "SHAPE", "portrait, landscape or square.")]
HasOption = Annotated[Texts, _option("has", "text|gps", "Text was read in it, or it has a place.")]
TagOption = Annotated[Texts, _option("tag", "TAG", "Has this tag (see `mmsearch tag`). May be repeated.")]
ExactOption = Annotated[
    Texts, _option("words", "TEXT", "These very words are in name, description or picture. May be repeated.")
]
NotOption = Annotated[Texts, _option("not", "TEXT", "Leave out what matches it; or a picture. May be repeated.")]
SortOption = Annotated[
    Texts, _option("sort", "ORDER", "Best hits by score, date, name or size; date:asc turns it round.")
]
ArithmeticOption = Annotated[
    bool, typer.Option("--arithmetic", help="Add the vectors of terms, subtract those left out, as rclip does.")
]


def _tell_fields(wanted: bool) -> None:
    if wanted:
        width = max(map(len, FIELDS)) + 3
        for name, said in FIELDS.items():
            print(f"{f'{name}:':{width}}{said}")
        print("\nEach is an option too, such as --camera NAME; with a dash before it a field leaves out what it says.")
        raise typer.Exit


HelpFieldsOption = Annotated[
    bool,
    typer.Option("--help-fields", callback=_tell_fields, is_eager=True, help="Show the fields of a query, and exit."),
]


def asked(
    words: Sequence[str], options: Mapping[str, Sequence[str] | None], arithmetic: bool, anything: bool = False
) -> Query:
    """The query that the command line asks; with ``anything`` it may ask for all pictures, the newest first.

    Raises BadParameter where it asks nothing, QueryError.
    """
    from dataclasses import replace

    from mmsearch.query.files import parse
    from mmsearch.query.model import Query

    given = [(f"--{name}", value) for name, values in options.items() for value in values or []]
    if not words and not given:
        if anything:
            return Query()
        raise typer.BadParameter("missing: say what to look for", param_hint="QUERY")
    return replace(parse(words, given), arithmetic=arithmetic)


def title(query: Query) -> str:
    """What was asked, for a heading: plain terms as they are, else as ``written`` has it."""
    from mmsearch.query.model import Example, Query, Words
    from mmsearch.query.writer import written

    plain = [
        formatting.shown(term.path) if isinstance(term, Example) else term.text
        for term in query.terms
        if not term.exclude
        and term.weight == 1
        and isinstance(term, (Words, Example))
        and not (isinstance(term, Words) and term.exact)
    ]
    if query == Query(query.terms, arithmetic=query.arithmetic) and len(plain) == len(query.terms):
        return " + ".join(plain)
    return formatting.shown(written(query))
