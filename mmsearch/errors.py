"""Every error this package raises on purpose, and notes, which say what is none.

    MMSearchError              catch this to catch them all
    |-- ConfigError            the configuration file or an environment variable has a wrong value
    |-- ArgumentError          a call was given something of the wrong kind, such as a number for a path
    |-- ModelError             a model is unknown, unreadable, or cannot be run here
    |   |-- PickledWeightsError its weights are a pickle, and nobody said that it is trusted
    |   `-- ModelMismatchError the library's vectors were made by another model
    |-- LibraryError           the library cannot be opened or written
    |   |-- NewerLibraryError  it was made by a newer version of mmsearch
    |   |-- LibraryBusyError   another process is writing to it
    |   |-- UnreachableError   one of its servers does not answer, or not in time; the others may
    |   `-- NoModelError       nothing was indexed yet, so there is nothing to search
    |-- SourceError            a path given by the user cannot be indexed or removed
    |   `-- PatternError       a pattern of what is left out makes no sense
    |-- WatchError             folders cannot be watched here
    |-- ImageError             a file is no picture that can be read (its ``reason`` says why)
    |-- QueryError             a query makes no sense
    |   `-- QuerySyntaxError   its text makes none, whatever files there are
    |-- VocabularyError        a file of tags makes no sense, or cannot be read
    |-- TagError               what a person wrote is no tag
    |-- MapError               a map cannot be made
    |-- TransferError          a backup or an export cannot be written, read or used
    |-- TrainingError          a training run cannot start, go on or end well
    `-- DimensionError         vectors of the wrong width

Messages say what was got, what was wanted and what to do, in words that fit every caller.  What to type in a terminal
is added by the command line (``cli/advice.py``), which tells errors apart by their ``code``.  The facts are attributes
too.  Bugs stay ordinary exceptions.
"""

from __future__ import annotations

import reprlib
from typing import Any


class MMSearchError(Exception):
    """Base class of all errors of this package.

    ``code`` names the kind of error for programs, and never changes; a class has one, and an error of it may have a
    finer one.  ``fields`` are the facts of this error, name -> value; each is an attribute too.
    """

    code: str = "error"

    def __init__(self, message: str, *, code: str | None = None, **fields: Any) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code
        self.fields = fields
        vars(self).update(fields)


class ConfigError(MMSearchError):
    """The configuration file or an environment variable has a wrong value."""

    code = "bad-setting"


class ArgumentError(MMSearchError):
    """A call was given something of the wrong kind, or a value that is none of those that there are."""

    code = "bad-argument"
    argument: str
    got: str
    wanted: str

    def __init__(self, argument: str, got: str, wanted: str) -> None:
        super().__init__(f"{argument} must be {wanted}, not {got}", argument=argument, got=got, wanted=wanted)


class ModelError(MMSearchError):
    """A model is unknown, unreadable, or cannot be run here."""

    code = "bad-model"


class ModelMismatchError(ModelError):
    """The library's vectors were made by ``wanted``; the model at hand is ``got``."""

    code = "model-mismatch"
    got: str
    wanted: str

    def __init__(self, got: str, wanted: str) -> None:
        super().__init__(
            f"this library was made with the model {wanted!r}, not {got!r}: vectors of two models cannot be compared",
            got=got,
            wanted=wanted,
        )


class PickledWeightsError(ModelError):
    """The weights ``file`` of the model ``name`` are a pickle, and nobody said that it is trusted."""

    code = "pickled-weights"
    name: str
    file: str

    def __init__(self, name: str, file: str) -> None:
        super().__init__(
            f"the weights of {name} are a pickle ({file}), which can run any program when it is read: they were not "
            "opened. Choose a model with safetensors or ONNX, or convert it; if you trust who made it, set "
            "trust_pickle = true",
            name=name,
            file=file,
        )


class LibraryError(MMSearchError):
    """The library cannot be opened or written."""

    code = "bad-library"


class NewerLibraryError(LibraryError):
    """The library was made by a newer version of mmsearch: its schema ``got`` is not among the known ones."""

    code = "newer-library"
    library: str
    got: str

    def __init__(self, library: str, got: str) -> None:
        super().__init__(
            f"the library {library} was made by a newer version of mmsearch (schema {got!r}); "
            "upgrade with: pip install --upgrade mmsearch",
            library=library,
            got=got,
        )


class LibraryBusyError(LibraryError):
    """Another process is writing to the library."""

    code = "library-busy"


class UnreachableError(LibraryError):
    """What has the ``part`` "vectors", "words" or "tokens" of the library does not answer, or not in time.

    ``engine`` is its name and ``reason`` says what it did instead; the code is that of the part, "vectors-unreachable".
    """

    code = "unreachable"
    part: str
    engine: str
    reason: str

    def __init__(self, part: str, engine: str, reason: str) -> None:
        super().__init__(
            f"the {part} of the library cannot be had, because {engine} does not answer: {reason}",
            code=f"{part}-unreachable",
            part=part,
            engine=engine,
            reason=reason,
        )


class NoModelError(LibraryError):
    """Nothing was indexed yet, so there is nothing to search."""

    code = "library-empty"


class SourceError(MMSearchError):
    """A path given by the user cannot be indexed or removed."""

    code = "bad-path"


class PatternError(SourceError):
    """A pattern of what is left out makes no sense."""

    code = "bad-pattern"


class WatchError(MMSearchError):
    """Folders cannot be watched here."""

    code = "cannot-watch"


class ImageError(MMSearchError):
    """A file is no picture that can be read; ``reason`` says why in a few words.

    ``retry`` is set where the reason lies outside the file, so that another try may go well: a limit, an extra.
    """

    code = "bad-image"
    path: str
    reason: str
    retry: bool

    def __init__(self, path: str, reason: str, retry: bool = False, *, code: str | None = None) -> None:
        super().__init__(f"{path}: {reason}", code=code, path=path, reason=reason, retry=retry)


class QueryError(MMSearchError):
    """A query makes no sense; ``column``, from 0, says where in its text, where that is known."""

    code = "bad-query"
    column: int | None

    def __init__(self, message: str, column: int | None = None, *, code: str | None = None) -> None:
        super().__init__(message, code=code, column=column)


class QuerySyntaxError(QueryError):
    """The text of a query makes none, whatever files there are."""

    code = "query-syntax"


class VocabularyError(MMSearchError):
    """A file of tags makes no sense, or cannot be read."""

    code = "bad-vocabulary"


class TagError(MMSearchError):
    """What a person wrote, ``tag``, is no tag; ``reason`` says why."""

    code = "bad-tag"
    tag: str
    reason: str

    def __init__(self, tag: str, reason: str) -> None:
        super().__init__(f"{reprlib.repr(tag)} is no tag: {reason}", tag=tag, reason=reason)


class MapError(MMSearchError):
    """A map cannot be made, or there is none."""

    code = "cannot-map"


class TransferError(MMSearchError):
    """A backup or an export cannot be written, read or used."""

    code = "cannot-transfer"


class ClusterError(MMSearchError):
    """Machines that work together cannot be reached, or failed."""

    code = "cluster-failed"


class TrainingError(MMSearchError):
    """A training run cannot start, go on or end well."""

    code = "cannot-train"


class DimensionError(MMSearchError):
    """Vectors have ``got`` dimensions where ``wanted`` were needed."""

    code = "wrong-dimension"
    got: int
    wanted: int

    def __init__(self, got: int, wanted: int) -> None:
        super().__init__(
            f"vectors have {got} dimensions, the index has {wanted}; was it built with another model?",
            got=got,
            wanted=wanted,
        )


class Note(str):
    """A sentence that the user should read.

    ``code`` names what it is about, so that a program can add what to do there; ``fields`` are its facts.
    """

    code: str
    fields: dict[str, Any]

    def __new__(cls, text: str, code: str = "note", **fields: Any) -> Note:
        note = super().__new__(cls, text)
        note.code, note.fields = code, fields
        return note

    def to_dict(self) -> dict[str, Any]:
        """The note as ``json.dumps`` takes it."""
        return {"code": self.code, "message": str(self), "fields": dict(self.fields)}
