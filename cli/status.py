"""``mmsearch status``: what the library holds."""

from __future__ import annotations

from typing import Annotated

import typer

from mmsearch.cli import present
from mmsearch.cli.options import JsonOption, LibraryOption, opened


def command(
    library: LibraryOption = None,
    json: JsonOption = False,
    failed: Annotated[bool, typer.Option("--failed", help="List all files that could not be read.")] = False,
) -> None:
    """Show what the library holds: folders, pictures, model, and the files that could not be read."""
    from mmsearch import config

    with opened(library) as found:
        status = found.status()
    if json:
        present.json_line(
            {
                "photos": status.photos,
                "regions": status.regions,
                "captions": status.captions,
                "failed": status.failed,
                "missing": status.missing,
                "model": status.model,
                "dim": status.dim,
                "index": status.index,
                "generation": status.generation,
                "bytes": status.bytes,
                "library": status.library,
                "roots": list(status.roots),
                "failures": [{"path": item.path, "reason": item.reason} for item in status.failures],
            }
        )
        return
    rows = {
        "library": f"{present.shown(status.library, relative=False)} ({present.size(status.bytes)})",
        "settings": present.shown(str(config.config_file()), relative=False),
        "model": f"{status.model} ({status.dim} dimensions)" if status.model else "none yet",
        "photos": f"{status.photos:,} can be found, {status.missing:,} missing, {status.failed:,} could not be read",
        "regions": f"{present.plural(status.regions, 'photo')} with region tokens, {status.captions:,} with captions",
        "index": f"{present.plural(status.index, 'vector')}, generation {status.generation}",
    }
    for name, value in rows.items():
        print(f"{name:9} {value}")
    for number, root in enumerate(status.roots):
        print(f"{'' if number else 'folders':9} {present.shown(root, relative=False)}")
    listed = status.failures if failed else status.failures[:10]
    for number, item in enumerate(listed):
        print(f"{'' if number else 'failed':9} {present.shown(item.path)}: {item.reason}")
    if len(listed) < status.failed:
        print(f"{'':9} … {status.failed - len(listed):,} more, see --failed or --json")
