"""Sentences for people, with facts for programs."""

from __future__ import annotations

from typing import Any


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
