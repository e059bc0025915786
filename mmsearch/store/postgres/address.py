"""The address of a library in PostgreSQL, and what of it may be shown."""

from __future__ import annotations

import math
import os
import socket

from mmsearch.errors import LibraryError

WANTED = "wanted is postgresql://user@host/database; write @, / and : of a password as %40, %2F and %3A"
# So a connection that broke is noticed, and the lock of a writer whose machine is gone is freed, within two minutes.
_ALIVE = {"keepalives_idle": "30", "keepalives_interval": "15", "keepalives_count": "5", "connect_timeout": "10"}

_LEAST = 2  # seconds for a connection: libpq takes no fewer


class Address:
    """Where a library is.  Whoever prints it sees no password."""

    def __init__(self, url: str) -> None:
        """Raises LibraryError for what is no such address; what was given is not repeated: it may hold a password."""
        from psycopg import ProgrammingError
        from psycopg.conninfo import conninfo_to_dict

        try:
            self._parts = {name: str(value) for name, value in conninfo_to_dict(url).items() if value is not None}
        except ProgrammingError:
            raise LibraryError(f"the address of the library cannot be read; {WANTED}", code="address") from None
        # A password with signs that were not written as %… lands in what would be shown.
        before_parameters = url.partition("://")[2].partition("?")[0]
        ports = self._parts.get("port", "").replace(",", "")
        misread = before_parameters.count("@") > 1 or "@" in before_parameters.partition("/")[2]
        if misread or "/" in self._parts.get("dbname", "") or (ports and not ports.isdecimal()):
            raise LibraryError(f"the address of the library cannot be read; {WANTED}", code="address")
        if not self._parts.get("dbname"):
            raise LibraryError(f"the address of the library names no database; {WANTED}", code="address")

    def __str__(self) -> str:
        parts = self._parts
        user = f"{parts['user']}@" if parts.get("user") else ""
        hosts = parts.get("host", parts.get("hostaddr", "")).split(",")
        ports = parts.get("port", "").split(",")
        if len(ports) == 1:  # of all of them
            ports *= len(hosts)
        if any(host.startswith("/") for host in hosts):  # folders of sockets
            port = f":{parts['port']}" if parts.get("port") else ""
            return f"postgresql://{user}{port}/{parts['dbname']}?host={','.join(hosts)}"
        pairs = zip(map(_bracketed, hosts), ports, strict=False)
        shown = ",".join(f"{host}:{port}" if port else host for host, port in pairs)
        return f"postgresql://{user}{shown}/{parts['dbname']}"

    def connecting(self, seconds: float | None = None) -> dict[str, str]:
        """What ``psycopg.connect`` takes, a password among it.

        Where there are several hosts they are tried in turn, together for about ``seconds``.
        """
        program = f"mmsearch on {socket.gethostname()}, process {os.getpid()}"  # who waits for it is told so
        given = {**_ALIVE, "application_name": program, **self._parts}
        if seconds is not None:
            hosts = given.get("host", "").count(",") + 1
            wanted = max(_LEAST, math.ceil(seconds / hosts))
            own = given["connect_timeout"]
            given["connect_timeout"] = str(min(wanted, int(own)) if own.isdecimal() and int(own) > 0 else wanted)
        return given


def _bracketed(host: str) -> str:
    """A host as it stands before a port."""
    return f"[{host}]" if ":" in host else host
