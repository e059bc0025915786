"""What every caption vocabulary begins with."""

from __future__ import annotations

PAD, START, END, UNKNOWN = range(4)
SPECIAL = ("<pad>", "<start>", "<end>", "<unknown>")
LONGEST = 32  # words of a caption, start and end included
