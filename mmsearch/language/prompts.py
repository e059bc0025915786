"""Plain sentences about what photos show: what a photo's tags are judged by, and what they are compared with.

``prompts.tsv`` has a line for each part: who, and what they do; animals and vehicles, and where they are; and whole
views.  Each of the doings and places is joined with a few of those that may do it or be there.
"""

from __future__ import annotations

import functools
from importlib import resources

EACH = {"people": 4, "dogs": 3, "animals": 2, "pets": 2, "vehicles": 3}  # how many meet each doing or place


@functools.cache
def scenes() -> tuple[str, ...]:
    """All sentences, without a capital and a full stop; always the same ones in the same order."""
    parts: dict[str, list[str]] = {}
    for line in (resources.files("mmsearch.language") / "prompts.tsv").read_text("utf-8").splitlines():
        kind, text = line.split("\t")
        parts.setdefault(kind, []).append(text)
    found = list(parts["view"])
    for who, each in EACH.items():
        subjects = parts[who]
        for turn in range(len(parts[f"{who} do"]) * each):
            # One further in every round, so that a doing does not meet the same ones again.
            subject = subjects[(turn + turn // len(subjects)) % len(subjects)]
            found.append(f"{subject} {parts[f'{who} do'][turn // each]}")
    return tuple(dict.fromkeys(found))
