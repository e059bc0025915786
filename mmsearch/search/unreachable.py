"""What to say of a search that did without a part of its library."""

from __future__ import annotations

from mmsearch.errors import UnreachableError
from mmsearch.types import Note


def without(error: UnreachableError) -> Note:
    """What to say where a search did without a part of the library."""
    did = {
        "vectors": "only pictures about which these words are written were looked at",
        "words": "words that are written about pictures were not looked up, nor left out",
        "tokens": "the best pictures were not looked at again",
    }[error.part]
    # Tokens may also be lost or damaged where all answers: the reason tells.
    why = error.reason if error.part == "tokens" else f"{error.engine} does not answer ({error.reason})"
    return Note(f"{did}: {why}", error.code, **error.fields)
