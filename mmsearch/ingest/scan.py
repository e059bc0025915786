"""Scan: walk the folders and compare them with the store, by path, size and time; no picture is opened."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from mmsearch.errors import SourceError
from mmsearch.ingest.sounds import is_sound
from mmsearch.media import formats
from mmsearch.media.discover import walk
from mmsearch.media.exclusions import Exclusions, negates
from mmsearch.media.remote_path import is_remote
from mmsearch.store.protocol import Store
from mmsearch.store.types import StoredFile, StoredModel
from mmsearch.types import Found, Note, Skipped


@dataclass
class Plan:
    """What a look at the folders asks for."""

    read: list[Found] = field(default_factory=list)  # new, changed, or to be tried again
    restore: list[tuple[int, Found]] = field(default_factory=list)  # had vanished, back as they were
    gone: set[int] = field(default_factory=set)  # rows whose file is not there any more, or is left out now
    excluded: set[int] = field(default_factory=set)  # of these, rows whose file is there
    unchanged: int = 0
    skipped: list[Skipped] = field(default_factory=list)  # unreadable folders; files that failed and have not changed
    notes: list[str] = field(default_factory=list)
    known: dict[str, StoredFile] = field(default_factory=dict)  # by path
    passed_over: set[str] = field(default_factory=set)  # paths of files that are no pictures, such as videos

    @property
    def passed_suffixes(self) -> dict[str, int]:
        """How many files of each suffix are passed over."""
        return dict(Counter(os.path.splitext(path)[1].lower() for path in self.passed_over))


def check(paths: Sequence[str]) -> None:
    """Raises SourceError for a path that does not exist or cannot be read, before anything is done."""
    for path in paths:
        if is_remote(path):
            from mmsearch.media import object_store

            object_store.check(path)
            continue
        if not os.path.lexists(path):
            raise SourceError(f"{path}: no such file or folder")
        if _leads_nowhere(path):
            raise SourceError(f"{path}: broken link")
        if not os.access(path, os.R_OK | os.X_OK if os.path.isdir(path) else os.R_OK):
            raise SourceError(f"{path}: no permission to read it")


def _leads_nowhere(path: str) -> bool:
    """Whether a path is a link to what is not there, or to itself."""
    if not os.path.islink(path):
        return False
    try:
        os.stat(path)
    except PermissionError:
        return False
    except OSError:
        return True
    return False


def scan(store: Store, model: StoredModel, roots: Sequence[str], exclude: Sequence[str] | None = None) -> Plan:
    """Compare the folders with the store by path, size and time; nothing is opened.

    ``exclude`` takes the place of what the store remembers of these roots.  Known files that are left out now are gone:
    kept in the library as missing, and back without work once they are not left out any more.  Raises PatternError for
    a pattern that makes no sense.
    """
    plan, files, remembered = Plan(), dict[str, Found](), store.exclusions()
    unused: list[set[str]] = []  # patterns, by root that was looked at
    walked = _with_nested(roots, store.roots())
    for root in walked:
        known = store.files(root, model)
        inner = {other for other in walked if other != root and at_or_below(other, {root})}  # they speak for theirs
        present = {p: row for p, row in known.items() if row.state != "missing" and not at_or_below(p, inner)}
        given = exclude if root in roots else None
        exclusions = Exclusions(remembered.get(root, ()) if given is None else given, root)
        found = _scan_root(plan, root, exclusions, known, present)
        files |= {path: file for path, file in found.items() if not at_or_below(path, inner)}
        if given is not None and (list(found) != [root] if is_remote(root) else os.path.isdir(root)):
            unused.append(exclusions.unused())
    plan.notes += [_without_effect(glob) for glob in exclude or () if unused and all(glob in of for of in unused)]
    if plan.passed_over:
        suffixes = plan.passed_suffixes
        plan.notes.append(Note(f"passed over: {formats.counted(suffixes)}", "passed-over", suffixes=suffixes))
    for path in _by_two_ways(files, store, model, walked):
        del files[path]
        row = plan.known.get(path)
        if row is not None and row.state != "missing":
            plan.gone.add(row.id)
    for path, file in files.items():
        compare(plan, file, plan.known.get(path))
    return plan


def _without_effect(pattern: str) -> Note:
    if negates(pattern):
        why = "nothing that an earlier pattern leaves out is called so, or the folder that it is in is left out whole"
        return Note(f"{pattern} brings back nothing: {why}", "brings-back-nothing", pattern=pattern)
    return Note(
        f"{pattern} leaves out nothing: nothing that is looked at is called so", "excludes-nothing", pattern=pattern
    )


def _by_two_ways(files: dict[str, Found], store: Store, model: StoredModel, walked: Sequence[str]) -> set[str]:
    """Paths by way of a link of files that are listed by their real path, or by a link before."""
    linked = [file for file in files.values() if file.real is not None]
    elsewhere: set[str] = set()  # listed by earlier runs
    for root in store.roots() if linked else ():
        if root not in walked and any(at_or_below(str(file.real), {root}) for file in linked):
            elsewhere |= {path for path, row in store.files(root, model).items() if row.state == "ok"}
    again, seen = set(), set[str]()
    for file in linked:
        assert file.real is not None
        if file.real in files or file.real in elsewhere or file.real in seen:
            again.add(file.path)
        seen.add(file.real)
    return again


def _scan_root(
    plan: Plan, root: str, exclude: Exclusions, known: dict[str, StoredFile], present: dict[str, StoredFile]
) -> dict[str, Found]:
    """The files of one root, by path; what of it is gone, unreadable or not there goes into the plan.

    ``known`` is all that the store has of it, ``present`` what it should have now.
    """
    if is_remote(root):
        return _scan_remote(plan, root, exclude, known, present)
    if not os.path.lexists(root):
        if root in present and os.path.isdir(os.path.dirname(root)):
            plan.gone.add(present[root].id)  # a single file, deleted from a folder that is there
        elif present:
            plan.notes.append(f"{root} is not there now: nothing was changed for the {len(present)} pictures below it")
        return {}
    found, unreadable = _look(root, exclude, plan.passed_over)
    plan.skipped += unreadable
    plan.known |= known
    if present and _is_empty(root):
        # An unmounted drive looks like an empty folder: never read that as "all deleted".
        plan.notes.append(
            Note(
                f"{root} is empty now but the library knows {len(present)} pictures there: is its drive connected? "
                "Nothing was marked missing",
                "empty-folder",
                root=root,
            )
        )
        return found
    # Nobody knows what is in the unreadable; raw files and others that an extra reads are there, also without it.
    unseen = {item.path for item in unreadable} | (plan.passed_over & present.keys())
    gone = {path: row.id for path, row in present.items() if path not in found and not at_or_below(path, unseen)}
    plan.gone |= set(gone.values())
    plan.excluded |= {number for path, number in gone.items() if os.path.lexists(path)}
    return found


def _scan_remote(
    plan: Plan, root: str, exclude: Exclusions, known: dict[str, StoredFile], present: dict[str, StoredFile]
) -> dict[str, Found]:
    """The same of a root in an object store or on a web server."""
    from mmsearch.media.remote_walk import look

    found = look(root, exclude)
    plan.skipped += found.skipped
    plan.passed_over |= found.passed_over
    plan.known |= known
    if found.gone and list(present) == [root]:
        plan.gone.add(present[root].id)  # a single file, which the server says that it does not have
    elif found.failed is not None:
        kept = f": nothing was changed for the {len(present)} pictures below it" if present else ""
        plan.notes.append(Note(f"{root} cannot be listed now ({found.failed}){kept}", "not-listed", root=root))
    elif present and not found.anything and list(present) != [root]:
        plan.notes.append(
            Note(
                f"{root} is empty now but the library knows {len(present)} pictures there. Nothing was marked missing",
                "empty-folder",
                root=root,
            )
        )
    else:
        unseen = {item.path for item in found.skipped} | (found.passed_over & present.keys())
        gone = {path: row.id for path, row in present.items() if path not in found.files}
        plan.gone |= {number for path, number in gone.items() if not at_or_below(path, unseen)}
        plan.excluded |= {number for path, number in gone.items() if path in found.excluded}
    return found.files


def compare(plan: Plan, file: Found, row: StoredFile | None) -> None:
    """Put a file that is there where it belongs in the plan."""
    if row is None or (row.size, row.mtime_ns) != (file.size, file.mtime_ns):
        plan.read.append(file)
    elif row.state == "failed":
        plan.skipped.append(Skipped(file.path, row.reason or "could not be read"))
    elif not row.embedded:
        plan.read.append(file)
    elif row.state == "missing" and row.reason is None:
        plan.restore.append((row.id, file))
    elif row.state == "missing":  # it could not be read before it went
        plan.read.append(file)
    elif not is_sound(file.path):
        plan.unchanged += 1


def _with_nested(roots: Sequence[str], known: Sequence[str]) -> list[str]:
    """The roots and the known ones below them: a hidden folder that was named is walked as a root of its own."""
    inside = [own for own in known if own not in roots and at_or_below(own, set(roots))]
    nested = [own for own in inside if is_remote(own) or os.path.lexists(own)]
    return [*roots, *nested]


def _is_empty(folder: str) -> bool:
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is None
    except OSError:
        return False  # not a folder, or one that the walk has reported as unreadable


def at_or_below(path: str, places: set[str]) -> bool:
    """Whether a path is one of these places, or below one."""
    while path not in places:
        parent = os.path.dirname(path)
        if parent == path:
            return False
        path = parent
    return True


def _look(root: str, exclude: Exclusions, passed_over: set[str]) -> tuple[dict[str, Found], list[Skipped]]:
    files: dict[str, Found] = {}
    skipped: list[Skipped] = []
    for item in walk(root, exclude, passed_over):
        if isinstance(item, Found):
            files[item.path] = item
        else:
            skipped.append(item)
    return files, skipped
