"""The database of a library as one plain file, and back: both while other processes read, a backup while they write.

A backup holds all but the index, which is made from the rest.  A library that was put back gets a new identity and a
generation above all before: so nothing that another process or a file remembers of it is taken for what it holds now.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from mmsearch.errors import ArgumentError, LibraryError, NewerLibraryError, TransferError
from mmsearch.media.filesystem import fsync, open_regular
from mmsearch.store.open import DATABASE, check_new
from mmsearch.store.sqlite.candidate import accept, check_made
from mmsearch.store.sqlite.schema import HEAD
from mmsearch.store.writer_lock import WriterLock
from mmsearch.types import PathLike, Progress

OnProgress = Callable[[Progress], None] | None

PAGES = 1000  # of 4 kB, copied in one go: some milliseconds, after which Ctrl-C is heard
BLOCK = 2**22  # bytes of a backup that are read in one go
_HEAD = b"SQLite format 3\0"
_JOURNAL = bytes.fromhex("d9d505f920a163d7")  # how a journal begins that is to be rolled back
_BESIDE = ("-wal", "-shm", "-journal")  # what SQLite keeps beside a database
_OURS = {"alembic_version", "contents", "embeddings", "models", "photos"}  # tables of every version


def backup(database: Path, file: Path, force: bool = False, progress: OnProgress = None) -> None:
    """Copy the database of a library to ``file``, as it is at one moment; an existing one is kept without ``force``.

    ``file`` is written under another name first: it is complete, or what it was.  Raises TransferError.
    """
    target = Path(os.path.realpath(os.path.expanduser(file)))
    if target in [database.resolve().with_name(database.name + end) for end in ("", *_BESIDE)]:
        raise TransferError(f"{file} is the library itself; name another file for the backup")
    if target.is_dir():
        raise TransferError(f"{file} is a folder; name a file for the backup, such as {Path(file) / 'photos.backup'}")
    if target.exists() and not target.is_file():
        raise TransferError(f"{file} is no regular file, and would be replaced by one; name another file")
    if not target.parent.is_dir():
        raise TransferError(f"{file} cannot be written: there is no folder {target.parent}; make it first")
    if target.exists() and not force:
        raise TransferError(f"{file} exists already; name another file", code="file-exists")
    try:
        with _draft(target) as draft:
            with closing(_opened(database)) as source, closing(sqlite3.connect(draft)) as copy:
                _copy(source, copy, progress, file)
                copy.execute("PRAGMA journal_mode = DELETE")  # one file, that can be read where nothing can be written
                if (fault := _fault(copy, "quick_check")) is not None:
                    raise TransferError(f"the library database {database} is damaged ({fault}); nothing was written")
            draft.chmod(stat.S_IMODE(database.stat().st_mode))  # who may not read the library may not read a copy
            fsync(draft)
            draft.replace(target)
            fsync(target.parent)
    except sqlite3.Error as error:
        raise TransferError(f"the library database {database} cannot be copied to {file}: {error}") from error
    except OSError as error:
        raise TransferError(f"{file} cannot be written: {error.strerror or error}") from error


def restore(file: PathLike, folder: PathLike, force: bool = False, progress: OnProgress = None) -> Path | None:
    """Put a backup in the place of the library in ``folder``, all at once; searches that are going on see old or new.

    ``file`` is copied as bytes and only the copy is opened: it and what lies beside it stay as they are.
    A library that has pictures, or cannot be read, is only replaced with ``force``, and kept beside: returns where.
    What ``verify`` would find wrong in the backup is mended before, or it is refused.
    Raises ArgumentError, TransferError, NewerLibraryError, LibraryBusyError, LibraryError.
    """
    for name, path in (("file", file), ("folder", folder)):
        if not isinstance(path, (str, os.PathLike)):
            raise ArgumentError(name, repr(path), "a path (str or Path)")
    file, folder = Path(os.path.expanduser(file)), Path(os.path.expanduser(folder))
    _check_file(file)
    check_new(folder)
    database = folder / DATABASE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with WriterLock(folder), _draft(database) as draft:
            sound, used, generation = _present(database)
            if used and not force:
                what = "has pictures already" if sound else "is damaged"
                raise TransferError(
                    f"the library {folder} {what}; restore into another one",
                    code="library-in-use",
                    kept=f"{database.name}.before-restore",
                )
            _take(file, draft, progress)
            _check(draft, file)
            accept(draft, file)
            with closing(sqlite3.connect(draft)) as copy, copy:
                _renew(copy, generation)
            return _replaced(database, draft, file, sound, used)
    except sqlite3.Error as error:
        raise TransferError(f"the backup {file} cannot be restored to {folder}: {error}") from error
    except OSError as error:
        raise LibraryError(f"the library {folder} cannot be written: {error.strerror or error}") from error


def _check_file(file: Path) -> None:
    """Raises TransferError where there is no database to read."""
    if not file.is_file():
        there = "a broken link" if file.is_symlink() and not file.exists() else "it is no regular file"
        what = "is a folder; a backup is a file" if file.is_dir() else there
        raise TransferError(f"{file}: {what if os.path.lexists(file) else 'no such file'}")
    if not os.access(file, os.R_OK):
        raise TransferError(f"{file}: no permission to read it")
    if not _HEAD.startswith(_begin(file, len(_HEAD))):
        raise TransferError(f"{file} is no backup", code="no-backup")


def _take(file: Path, draft: Path, progress: OnProgress) -> None:
    """Copy the bytes of a backup, and of a write-ahead log that belongs to it.

    SQLite deletes or merges what it finds beside a database that it opens, and nobody's files are to be changed.
    Raises TransferError where the file was written to meanwhile, or is half written; OSError for the draft.
    """
    log, journal = Path(f"{file}-wal"), Path(f"{file}-journal")
    before = [_stamp(file), _stamp(log)]
    versions = _begin(file, 20)[18:]  # of the format, to write and to read it: 2 where there is a log
    if versions == b"\1\1" and journal.is_file() and _begin(journal, len(_JOURNAL)) == _JOURNAL:
        raise TransferError(
            f"{file} was being written when its writer was stopped, or still is: {journal.name} says what is to be "
            "taken back; open it with the program that wrote it, and try again"
        )
    parts = [(file, draft)]
    if versions == b"\2\2" and log.is_file():
        parts.append((log, Path(f"{draft}-wal")))
    total = sum(-(-os.path.getsize(part) // BLOCK) for part, _ in parts)
    done = 0
    for part, target in parts:
        with open(target, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as copy:
            for block in _blocks(part):
                copy.write(block)
                done += 1
                if progress is not None:
                    progress(Progress(min(done, total), total, str(file)))
    if [_stamp(file), _stamp(log)] != before:
        raise TransferError(f"{file} was written to while it was read; of a library that is used, make a backup first")


def _blocks(file: Path, size: int = BLOCK) -> Iterator[bytes]:
    """The bytes of a file, some at a time.  Raises TransferError."""
    try:
        with open_regular(file) as opened:
            while block := opened.read(size):
                yield block
    except OSError as error:
        raise TransferError(f"{file} cannot be read: {error.strerror or error}") from error


def _begin(file: Path, size: int) -> bytes:
    """The first bytes of a file.  Raises TransferError."""
    return next(_blocks(file, size), b"")


def _stamp(file: Path) -> tuple[int, ...] | None:
    """What changes when a file is written to; None where there is none."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _check(draft: Path, file: Path) -> None:
    """Raises TransferError where the copy of ``file`` is no whole library, NewerLibraryError for a newer version's."""
    try:
        with closing(sqlite3.connect(draft)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if not tables >= _OURS:
                raise TransferError(f"{file} is no backup: it is the database of another program, or empty")
            versions = [str(one) for (one,) in connection.execute("SELECT version_num FROM alembic_version")]
            if len(versions) != 1:
                raise TransferError(f"{file} is no backup that can be used: it does not say which version made it")
            if versions[0] > HEAD:
                raise NewerLibraryError(str(file), versions[0][:60])
            check_made(connection, file, versions[0])
            fault = _fault(connection, "integrity_check")
    except sqlite3.OperationalError as error:
        raise TransferError(f"{file} cannot be read: {error}") from error
    except sqlite3.DatabaseError as error:
        fault = str(error)
        if "not a database" in fault:
            raise TransferError(f"{file} is no backup", code="no-backup") from error
    if fault is not None:
        raise TransferError(f"the backup {file} is damaged ({fault}); nothing was changed, try an older one")


def _opened(file: Path) -> sqlite3.Connection:
    """Never creates it, and leaves it as it is where it may not be written."""
    writable = os.access(file, os.W_OK) and os.access(file.parent, os.W_OK)
    in_use = Path(f"{file}-wal").exists()
    how = "rw" if in_use and writable else "ro" if in_use else "ro&immutable=1"
    if file.name == "library.sqlite" and writable:
        how = "rw"  # another process may open it at any moment
    return sqlite3.connect(f"{file.absolute().as_uri()}?mode={how}", uri=True, timeout=30, isolation_level=None)


def _copy(source: sqlite3.Connection, target: sqlite3.Connection, progress: OnProgress, file: Path) -> None:
    """All pages, in one transaction of the target."""
    if source.execute("PRAGMA journal_mode").fetchone() == ("wal",):
        # One state, however long it takes: SQLite would begin anew whenever another process has written something.
        # Writers do not wait for it in this mode.
        source.execute("BEGIN")
        source.execute("SELECT 1 FROM sqlite_master").fetchone()

    def report(_status: int, remaining: int, total: int) -> None:
        if progress is not None:
            progress(Progress(total - remaining, total, str(file)))

    source.backup(target, pages=PAGES, progress=report)


def _fault(connection: sqlite3.Connection, how: str) -> str | None:
    """What SQLite finds wrong first; None where all is well."""
    found = str(connection.execute(f"PRAGMA {how}(1)").fetchone()[0])
    return None if found == "ok" else " ".join(found.removeprefix("*** in database main ***").split())


def _present(database: Path) -> tuple[bool, bool, int]:
    """Whether the present database is sound, whether there is something to lose in it, and its generation."""
    if not database.exists():
        return True, False, 0
    try:
        with closing(_opened(database)) as connection:
            sound = _fault(connection, "quick_check") is None
            used = connection.execute("SELECT EXISTS (SELECT 1 FROM photos)").fetchone() != (0,)
            return sound, used or not sound, _generation(connection)
    except sqlite3.OperationalError as error:
        if "locked" in str(error) or "unable to open" in str(error):
            raise
        return True, True, 0  # of another program
    except (sqlite3.DatabaseError, TypeError, ValueError):
        return False, True, 0


def _generation(connection: sqlite3.Connection) -> int:
    """Of a library of this version or an earlier one."""
    earlier = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'facts'").fetchone()
    table = "properties" if earlier is None else "facts"
    return int(connection.execute(f"SELECT value FROM {table} WHERE name = 'generation'").fetchone()[0])


def _renew(copy: sqlite3.Connection, before: int) -> None:
    """A new identity, and a generation above its own and the one ``before``."""
    values = {"generation": str(max(_generation(copy), before) + 1), "identity": secrets.token_hex(4)}
    for name, value in values.items():
        copy.execute("UPDATE properties SET value = ? WHERE name = ?", (value, name))


def _replaced(database: Path, draft: Path, file: Path, sound: bool, used: bool) -> Path | None:
    """Put the draft of the backup ``file`` in the place of the database; returns where that is, if it was worth it."""
    kept = _free(database.with_name(f"{database.name}.before-restore")) if used else None
    if not sound:
        assert kept is not None
        for end in (*_BESIDE, ""):
            with contextlib.suppress(FileNotFoundError):
                database.with_name(database.name + end).replace(f"{kept}{end}")
    elif kept is not None:
        backup(database, kept)
    if database.exists():
        # Into the file that is there, in one transaction: other processes have it open.
        with closing(_opened(draft)) as source, closing(_opened(database)) as target:
            _copy(source, target, None, draft)
            target.execute("PRAGMA busy_timeout = 1000")
            target.execute(
                "PRAGMA wal_checkpoint(TRUNCATE)"
            )  # left to others, where somebody still reads the old state
    else:
        draft.chmod(stat.S_IMODE(file.stat().st_mode) | stat.S_IRUSR | stat.S_IWUSR)  # a library is written to
        fsync(draft)
        draft.replace(database)
        fsync(database.parent)
    return kept


def _free(file: Path) -> Path:
    """This name, or the first with a number behind it that is free: what was kept before stays."""
    number, name = 1, file
    while name.exists():
        number += 1
        name = file.with_name(f"{file.name}-{number}")
    return name


@contextlib.contextmanager
def _draft(target: Path) -> Iterator[Path]:
    """A file beside the target that only its owner may read; in the end it goes, and what SQLite put beside it."""
    draft = target.with_name(f".{target.name}.{os.getpid()}.partial")
    everything = [draft.with_name(draft.name + end) for end in ("", *_BESIDE)]
    for file in everything:
        file.unlink(missing_ok=True)
    try:
        os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        yield draft
    finally:
        for file in everything:
            file.unlink(missing_ok=True)
