"""``mmsearch cluster index``: an index run whose pictures are read and encoded by a Ray cluster."""

from __future__ import annotations

from typing import Annotated

import typer

from mmsearch.cli import options
from mmsearch.cli.indexed import indexed
from mmsearch.cli.traces import exported

AddressOption = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="ADDRESS",
        help="Of the Ray cluster: ray://head:10001, head:6379 or auto. Default: one is started here.",
    ),
]


def command(
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATH", help="Folders or pictures, at the same paths on each machine. Default: all."),
    ] = None,
    urls: options.UrlsOption = None,
    address: AddressOption = None,
    workers: Annotated[
        int, typer.Option("--workers", min=0, help="Processes that encode. Default: as many as there is room for.")
    ] = 0,
    cpus: Annotated[int, typer.Option("--cpus", min=1, help="Cores for each of them.")] = 1,
    library: options.LibraryOption = None,
    model: options.ModelOption = None,
    device: options.DeviceOption = None,
    exclude: options.ExcludeOption = None,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait for another mmsearch that is writing. Default: yes.")
    ] = True,
    json: options.JsonOption = False,
) -> None:
    """Read the pictures in folders with the machines of a Ray cluster.

    This process finds the files, hands them out, and stores what comes back; pictures are read, decoded and encoded on
    the other machines, on their GPUs where they have any. Whatever dies, what is stored is not encoded again: the same
    command goes on. mmsearch must be installed on each machine in the same version.
    """
    from mmsearch.cluster.handing_out import Workers
    from mmsearch.cluster.indexing import index

    with exported("index"), options.opened(library, must_exist=False, device=device, model=model) as found:
        indexed(
            found,
            lambda progress: index(
                found,
                paths or [],
                urls=urls or (),
                address=address,
                workers=Workers(workers, cpus),
                exclude=exclude or None,
                wait=wait,
                progress=progress,
            ),
            json,
        )
