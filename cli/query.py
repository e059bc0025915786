"""``mmsearch query``: find pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmsearch.cli import formatting, query_options
from mmsearch.cli.options import DeviceOption, JsonOption, LibraryOption, opened
from mmsearch.cli.progress_bar import working
from mmsearch.cli.query_output import Results, Shown


def command(
    query: Annotated[
        list[str] | None, typer.Argument(metavar="QUERY", help="Words, picture files, -words to leave out, fields.")
    ] = None,
    library: LibraryOption = None,
    k: Annotated[int, typer.Option("-k", min=1, metavar="N", help="How many pictures.")] = 10,
    offset: Annotated[
        int, typer.Option("--offset", min=0, metavar="N", help="Leave out the best N: the next page of hits.")
    ] = 0,
    within: Annotated[
        list[str] | None,
        typer.Option("--in", metavar="PATH", help="Only in this folder. May be repeated."),
    ] = None,
    where: query_options.WhereOption = None,
    date: query_options.DateOption = None,
    taken: query_options.TakenOption = None,
    camera: query_options.CameraOption = None,
    lens: query_options.LensOption = None,
    city: query_options.CityOption = None,
    person: query_options.PersonOption = None,
    rating: query_options.RatingOption = None,
    label: query_options.LabelOption = None,
    album: query_options.AlbumOption = None,
    cluster: query_options.ClusterOption = None,
    iso: query_options.IsoOption = None,
    aperture: query_options.ApertureOption = None,
    exposure: query_options.ExposureOption = None,
    focal: query_options.FocalOption = None,
    length: query_options.LengthOption = None,
    fps: query_options.FpsOption = None,
    codec: query_options.CodecOption = None,
    at: query_options.AtOption = None,
    near: query_options.NearOption = None,
    type_: query_options.TypeOption = None,
    width: query_options.WidthOption = None,
    height: query_options.HeightOption = None,
    megapixels: query_options.MegapixelsOption = None,
    size: query_options.SizeOption = None,
    orientation: query_options.OrientationOption = None,
    has: query_options.HasOption = None,
    tag: query_options.TagOption = None,
    words: query_options.ExactOption = None,
    not_: query_options.NotOption = None,
    sort: query_options.SortOption = None,
    arithmetic: query_options.ArithmeticOption = False,
    min_relevance: Annotated[
        float | None,
        typer.Option("--min-relevance", metavar="P", min=0, max=1, help="Leave out what is less likely to match."),
    ] = None,
    diverse: Annotated[
        bool, typer.Option("--diverse", help="One hit for near-duplicates and bursts, and hits that differ.")
    ] = False,
    like: Annotated[
        list[str] | None, typer.Option("--like", metavar="FILE", help="More like this picture. May be repeated.")
    ] = None,
    unlike: Annotated[
        list[str] | None, typer.Option("--unlike", metavar="FILE", help="Less like this picture. May be repeated.")
    ] = None,
    imagine: Annotated[
        bool,
        typer.Option(
            "--imagine",
            help="Also look for pictures imagined from the words. Off by default: measured to find no more.",
        ),
    ] = False,
    rerank: Annotated[
        bool | None,
        typer.Option("--rerank/--no-rerank", help="Look at the best pictures again. Default: where it helps."),
    ] = None,
    device: DeviceOption = None,
    help_fields: query_options.HelpFieldsOption = False,
    json: JsonOption = False,
    paths: Annotated[bool, typer.Option("--paths", help="Print only the paths.")] = False,
    moments: Annotated[
        bool, typer.Option("--moments", help="A line for each of the best moments of films and pages of documents.")
    ] = False,
    print0: Annotated[
        bool, typer.Option("--print0", "-0", help="Print only the paths, each ended by a NUL, for xargs -0.")
    ] = False,
    show: Annotated[bool, typer.Option("--show", help="Show the pictures in the terminal.")] = False,
    show_as: Annotated[
        str | None,
        typer.Option("--show-as", metavar="kitty|iterm2|sixel|blocks", help="Show them so, whatever the terminal is."),
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a contact sheet, an HTML file of its own.")
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Open the contact sheet, or else the best picture.")] = False,
    copy_to: Annotated[
        Path | None, typer.Option("--copy-to", metavar="DIR", help="Copy the pictures there; overwrites nothing.")
    ] = None,
    numbered: Annotated[bool, typer.Option("--numbered", help="With --copy-to: put the rank before names.")] = False,
) -> None:
    """Find pictures by words, by a picture, or by both.

    Words side by side are one phrase: mmsearch query a dog on a beach. A word with spaces in quotes, +word, or a
    picture file, is a term of its own; pictures should match all terms. -people leaves out what matches, 2:horse counts
    twice. Fields narrow the search: date:2024-06..2024-08 camera:fujifilm in:./holidays near:48.85,2.35,10km
    type:jpeg,png width:>2000 tag:beach words:invoice; with a dash before it a field leaves out what it says. Fields
    alone list all pictures that meet them, the newest first. A question, such as "is anyone wearing a red hat?", is
    answered for each picture.
    """
    from mmsearch.cli.welcome import nothing_yet

    results = Results(json, paths, print0, show, show_as, html, open_, copy_to, numbered, moments)
    sheet = results.check()
    options = {
        "where": where,
        "date": date,
        "taken": taken,
        "camera": camera,
        "lens": lens,
        "city": city,
        "person": person,
        "rating": rating,
        "label": label,
        "album": album,
        "cluster": cluster,
        "iso": iso,
        "aperture": aperture,
        "exposure": exposure,
        "focal": focal,
        "length": length,
        "fps": fps,
        "codec": codec,
        "at": at,
        "near": near,
        "type": type_,
        "width": width,
        "height": height,
        "megapixels": megapixels,
        "size": size,
        "orientation": orientation,
        "has": has,
        "tag": tag,
        "words": words,
        "not": not_,
        "sort": sort,
    }
    # An option for folders that says nothing else still asks for something: all that is there.
    wanted = query_options.asked(query or [], options, arithmetic, anything=bool(within or like))
    with opened(library, device=device, auto="cpu") as found, working("Searching"):
        hits = found.search(
            wanted,
            k,
            offset=offset,
            within=within or [],
            rerank=rerank,
            min_relevance=min_relevance,
            diverse=diverse,
            like=like or [],
            unlike=unlike or [],
            imagine=imagine,
        )
        shown = Shown(found.settings.max_megapixels, results.rough(found, hits))
        empty = None if hits else nothing_yet(found)
    nothing = f"no {'more ' if offset else ''}pictures found"
    if empty is not None:
        nothing = f"{nothing}: {empty}"
    elif within:
        nothing += " there; `mmsearch status` shows the known folders"
    for note in hits.notes:
        if note.code == "nothing-relevant":
            nothing = note  # said in its place
        else:
            formatting.say(note)
    title = query_options.title(wanted)
    for word, files in (("like", like), ("unlike", unlike)):
        if files:
            title += f" {word} {', '.join(map(formatting.shown, files))}"
    results.give(hits, title.strip(), shown, nothing, sheet)
