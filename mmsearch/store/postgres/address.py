"""The address of a library in PostgreSQL, and what of it may be shown."""

from __future__ import annotations

import os
import socket

from mmsearch.errors import LibraryError

WANTED = "wanted is postgresql://user@host/database; write @, / and : of a password as %40, %2F and %3A"
# So a connection that broke is noticed, and the lock of a writer whose machine is gone is freed, within two minutes.
_ALIVE = {"keepalives_idle": "30", "keepalives_interval": "15", "keepalives_count": "5", "connect_timeout": "10"}


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
        host = parts.get("host", parts.get("hostaddr", ""))
        port = f":{parts['port']}" if parts.get("port") else ""
        if host.startswith("/"):  # the folder of a socket
            return f"postgresql://{user}{port}/{parts['dbname']}?host={host}"
        return f"postgresql://{user}{host}{port}/{parts['dbname']}"

    @property
    def connecting(self) -> dict[str, str]:
        """What ``psycopg.connect`` takes, a password among it."""
        program = f"mmsearch on {socket.gethostname()}, process {os.getpid()}"  # who waits for it is told so
        return {**_ALIVE, "application_name": program, **self._parts}
