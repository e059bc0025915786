"""``mmsearch serve``: the library as a web page, and for programs, on this machine."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from mmsearch.cli import formatting, options

if TYPE_CHECKING:
    import socket

    from mmsearch.server.options import ServerOptions


def command(
    library: options.LibraryOption = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes one that is free.")] = 7878,
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="Where to listen. Default: this machine alone.")
    ] = "127.0.0.1",
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    read_only: Annotated[bool, typer.Option("--read-only", help="Change nothing, write nothing.")] = False,
    token: Annotated[
        str | None,
        typer.Option("--token", envvar="MMSEARCH_TOKEN", help="What opens the door. Default: a new one each time."),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option("--allow-host", metavar="NAME", help="Another name of this server. May be repeated."),
    ] = None,
    show_places: Annotated[
        bool | None,
        typer.Option("--show-places/--hide-places", help="Where photos were taken. Default: shown on this machine."),
    ] = None,
    metrics: Annotated[
        bool, typer.Option("--metrics", help="Figures for Prometheus at /metrics; the token opens it too.")
    ] = False,
    access_log: Annotated[bool, typer.Option("--access-log", help="A line for each request, without queries.")] = False,
    device: options.DeviceOption = None,
) -> None:
    """Serve the library as a web page and a REST interface, until it is stopped.

    For this machine alone, unless --host says otherwise. The address that is printed has a token in it: whoever knows
    it may do what the page can do. Needs mmsearch[web].
    """
    from mmsearch.cli.traces import exported
    from mmsearch.cli.web_server import run
    from mmsearch.cli.welcome import nothing_yet

    given = replace(_options(host, token, allow_host or (), read_only, show_places), metrics=metrics)
    with (
        exported("serve"),
        options.opened(library, must_exist=False, device=device) as found,
        _listening(host, port) as listening,
    ):
        shown = f"http://{_authority(host, listening.getsockname()[1])}/?token={given.token}"
        formatting.say(f"serving {formatting.shown(found.store.place)}; Ctrl-C ends it")
        if (empty := nothing_yet(found)) is not None:
            formatting.say(f"{empty}; or add a folder on the page")
        if given.any_address:
            formatting.say("other machines put this machine's address in the place of the one below")
        print(shown, flush=True)
        stopped = run(found, given, listening, shown if open_page else None, access_log)
    if stopped == signal.SIGINT:
        raise typer.Exit(130)


def _options(
    host: str, token: str | None, names: list[str] | tuple[str, ...], read_only: bool, show_places: bool | None
) -> ServerOptions:
    from mmsearch.server.options import LOCAL_NAMES, ServerOptions, host_name, new_token

    if token is not None and len(token) < 16:
        raise typer.BadParameter("must have at least 16 characters, so that nobody guesses it", param_hint="--token")
    local = _is_loopback(host)
    hosts = LOCAL_NAMES | {host_name(f"[{host}]" if ":" in host else host), *map(host_name, names)}
    return ServerOptions(
        token=token or new_token(),
        hosts=frozenset(hosts - {""}),
        any_address=not local,
        read_only=read_only,
        local=local and not names,
        show_places=(local and not names) if show_places is None else show_places,
    )


def _is_loopback(host: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _authority(host: str, port: int) -> str:
    """Host and port as a browser on this machine takes them."""
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"


def _listening(host: str, port: int) -> socket.socket:
    """A socket that takes connections there.  Raises MMSearchError where that cannot be."""
    import socket

    from mmsearch.errors import MMSearchError

    listening: socket.socket | None = None
    try:
        # It names its protocol: else asyncio leaves Nagle's algorithm on, and each answer takes 40 ms more.
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
        )[0]
        listening = socket.socket(family, kind, protocol)
        if os.name == "posix":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(256)
        return listening
    except OSError as error:
        if listening is not None:
            listening.close()
        raise MMSearchError(
            f"cannot listen on {_authority(host, port)}: {error.strerror or error}; choose another port", code="no-port"
        ) from error
