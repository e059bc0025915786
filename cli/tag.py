"""``mmsearch tag``: give pictures the words of a vocabulary that fit them, or tags of your own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from mmsearch import schemas
from mmsearch.cli import formatting
from mmsearch.cli.options import DeviceOption, JsonOption, LibraryOption, opened
from mmsearch.cli.progress_bar import progress_bar, working
from mmsearch.errors import ArgumentError, TagError

SHOWN = 20  # tags of the summary


def command(
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="PATH", help="Only in these folders. Default: the whole library.")
    ] = None,
    library: LibraryOption = None,
    vocabulary: Annotated[
        Path | None,
        typer.Option("--vocabulary", metavar="FILE", help="Your own words, one a line, in place of those that ship."),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold", metavar="P", min=0.01, max=1, help="Least probability of a tag, 0.01 to 1. Default: 0.55."
        ),
    ] = None,
    add: Annotated[
        list[str] | None,
        typer.Option("--add", metavar="TAG", help="Give the photos at PATH this tag of yours. May be repeated."),
    ] = None,
    remove: Annotated[
        list[str] | None,
        typer.Option("--remove", metavar="TAG", help="Take this tag of yours from them. May be repeated."),
    ] = None,
    listing: Annotated[bool, typer.Option("--list", help="List the tags that pictures have, and do no more.")] = False,
    clear: Annotated[
        bool, typer.Option("--clear", help="Forget the tags that the model gave, and do no more.")
    ] = False,
    print_vocabulary: Annotated[
        bool, typer.Option("--print-vocabulary", help="Print the words that ship, as a file to edit, and do no more.")
    ] = False,
    device: DeviceOption = None,
    json: JsonOption = False,
) -> None:
    """Tag pictures with words for what they show; find them by tag:WORD, and by the words themselves.

    Pictures that were compared with the same words before are left alone. No picture is opened, and Ctrl-C loses
    nothing. Prints the most frequent tags and how many files have each. A line of FILE is a tag, or a tag, texts that
    say what is meant and tags above it, with tabs between the three and | between several.

    With --add and --remove nothing is judged: the photos at PATH, and all below it, get your own tags or lose them.
    These stay whatever the model says; files are not changed.
    """
    from mmsearch.cli.pager import paged
    from mmsearch.cli.welcome import nothing_yet

    if sum((listing, clear, print_vocabulary)) > 1:
        raise typer.BadParameter("--list, --clear and --print-vocabulary exclude each other")
    if (listing or clear or print_vocabulary) and (vocabulary is not None or threshold is not None):
        raise typer.BadParameter("--list, --clear and --print-vocabulary go without --vocabulary and --threshold")
    if add or remove:
        if listing or clear or print_vocabulary or vocabulary is not None or threshold is not None:
            raise typer.BadParameter("--add and --remove go with PATH, --library and --json alone")
        if not paths:
            raise typer.BadParameter("--add and --remove want to know of which photos: name files or folders")
        _change(paths, library, add or [], remove or [], json)
        return
    if print_vocabulary:
        from mmsearch.language.vocabulary import builtin_text

        sys.stdout.write(builtin_text())
        return
    with opened(library, device=device, auto="cpu") as found:
        empty = None if json else nothing_yet(found)
        if empty is not None:
            formatting.say(empty)
        elif listing:
            with working("Counting"):
                tags = found.tags(paths or [])
            if json:
                formatting.json_line(schemas.tags(tags))
            else:
                with paged():
                    _counts(tags, len(tags))
                if not tags:
                    formatting.say("no picture has tags yet: mmsearch tag")
        elif clear:
            with working("Forgetting"):
                cleared = found.clear_tags(paths or [])
            if json:
                formatting.json_line(schemas.tags_cleared(cleared))
            else:
                formatting.say(f"tags of {formatting.plural(cleared, 'picture')} forgotten")
        else:
            from mmsearch.ingest.enrich.tags import THRESHOLD

            try:
                with progress_bar("Tagging") as progress:
                    report = found.tag(
                        paths or [],
                        vocabulary=vocabulary,
                        threshold=THRESHOLD if threshold is None else threshold,
                        progress=progress,
                    )
            except KeyboardInterrupt:
                formatting.say("interrupted: nothing is lost; run the same command again to go on")
                raise typer.Exit(130) from None
            if json:
                formatting.json_line(schemas.tag_report(report))
            else:
                formatting.say(f"{formatting.plural(report.tagged, 'picture')} tagged in {report.seconds:.1f} s")
                _counts(report.tags, SHOWN)


def _change(paths: list[str], library: str | None, add: list[str], remove: list[str], json: bool) -> None:
    """Give photos tags of a person's own, and take such from them."""
    from mmsearch.library.tags import checked_tags

    try:
        checked_tags(add, remove)
    except (TagError, ArgumentError) as error:  # wrong whatever photos there are
        raise typer.BadParameter(str(error)) from error
    with opened(library) as found:
        change = found.tag_photos(paths, add=add, remove=remove)
    if json:
        formatting.json_line(schemas.tags_changed(change))
    else:
        changed = f"{formatting.plural(change.changed, 'photo')} of {change.photos:,} changed"
        formatting.say(f"{changed}: {formatting.plural(change.added, 'tag')} given, {change.removed:,} taken")


def _counts(tags: dict[str, int], shown: int) -> None:
    """A line a tag: files, and the tag."""
    width = max((len(f"{files:,}") for files in tags.values()), default=0)
    for tag, files in list(tags.items())[:shown]:
        print(f"{files:>{width},}  {tag}")
    if len(tags) > shown:
        formatting.say(f"… and {formatting.plural(len(tags) - shown, 'tag')} more: mmsearch tag --list")
