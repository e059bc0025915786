"""Takes the password of an address out of what ``ps`` shows of this process."""

from __future__ import annotations

import re
import sys

# Of an address in the arguments; libpq takes a password as a parameter too.
_PASSWORDS = (
    re.compile(rb"postgres(?:ql)?://[^:@/?\0]*:([^@\0]+)@"),
    re.compile(rb"postgres(?:ql)?://[^\0]*[?&](?:ssl)?password=([^&\0]+)"),
)
_ARGUMENTS_BEGIN, _ARGUMENTS_END = 47, 48  # columns of /proc/self/stat, from 0


def hide_password() -> None:
    """Where the arguments hold one: on Linux they are written over, elsewhere nothing is done.

    What this program reads of its arguments was copied when it started, and stays.
    """
    if not any("postgres" in argument and "://" in argument for argument in sys.argv):
        return
    try:
        with open("/proc/self/stat", "rb") as file:
            columns = file.read().rpartition(b")")[2].split()  # without the first two, of which one may have spaces
        begin, end = int(columns[_ARGUMENTS_BEGIN - 2]), int(columns[_ARGUMENTS_END - 2])
        with open("/proc/self/mem", "r+b", buffering=0) as memory:
            memory.seek(begin)
            shown = memory.read(end - begin)
            for start, stop in (found.span(1) for one in _PASSWORDS for found in one.finditer(shown)):
                memory.seek(begin + start)
                memory.write(b"*" * (stop - start))
    except (OSError, ValueError, IndexError):
        return
