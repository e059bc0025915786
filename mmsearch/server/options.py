"""How a library is served."""

from __future__ import annotations

import ipaddress
import secrets
from dataclasses import dataclass, field

LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


def new_token() -> str:
    """A token that nobody guesses: 256 random bits."""
    return secrets.token_urlsafe(32)


@dataclass(frozen=True)
class ServerOptions:
    """Who may do what, and how much of it at once."""

    token: str = field(default_factory=new_token, repr=False)  # what a program sends, and a page is opened with
    hosts: frozenset[str] = LOCAL_NAMES  # names by which the server may be called, without a port
    any_address: bool = False  # an IP address as a name is allowed too: no other site can be made to resolve to one
    read_only: bool = False  # nothing of the library is changed, nothing is written
    local: bool = True  # whoever asks sits at this machine: may name folders to index and to copy to
    show_places: bool = True  # latitude and longitude of photos, and files that hold them
    searchers: int = 0  # threads that search; 0 is one a core, at most 8
    waiting: int = 64  # searches that may wait; the next one is told to come back
    requests_per_second: float = 200.0  # of one token, in the long run …
    burst: int = 2_000  # … and at once: a page that is scrolled asks for many thumbnails
    upload_bytes: int = 50 * 2**20  # of a picture to search by
    body_bytes: int = 2**20  # of any other request
    upload_megapixels: float = 100.0
    read_seconds: float = 20.0  # that a request may be silent before all of it has come
    metrics: bool = False  # figures for Prometheus, at /metrics, for whoever has the token
    export_bytes: int = 20 * 2**30  # of the photos of one zip

    def allows(self, host: str) -> bool:
        """Whether a request may call the server by this name, as it stands in ``Host``, with or without a port."""
        name = host_name(host)
        if name in self.hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return self.any_address


def host_name(host: str) -> str:
    """The name in ``Host`` or a URL's authority: without its port, brackets and capitals; empty where it is none."""
    name, bracket, rest = host.strip().lower().partition("]")
    if bracket:
        return name[1:] if name.startswith("[") and (not rest or rest[1:].isdigit()) else ""
    name, colon, port = name.partition(":")
    return name.removesuffix(".") if not colon or port.isdigit() else ""
