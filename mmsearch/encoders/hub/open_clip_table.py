"""open_clip's table of pretrained weights, kept as JSON beside this file: importing open_clip to read it takes 4 s.

``python -m mmsearch.encoders.hub.open_clip_table`` writes it anew, from the open_clip that is installed.
"""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("open_clip_table.json")
PACKAGE = "open_clip_torch"

Table = dict[str, dict[str, dict[str, Any]]]  # architecture -> tag -> hf_hub, url and quick_gelu, in open_clip's order


def stored() -> Table:
    """The table as it is kept."""
    table: Table = json.loads(FILE.read_text("utf-8"))["models"]
    return table


def is_current() -> bool:
    """Whether the table that is kept is that of the open_clip that is installed; True where none is."""
    try:
        return bool(json.loads(FILE.read_text("utf-8"))["version"] == importlib.metadata.version(PACKAGE))
    except importlib.metadata.PackageNotFoundError:
        return True


def installed() -> Table:
    """The table of the open_clip that is installed; imports it."""
    import open_clip

    table: Table = {}
    for model, tag in open_clip.list_pretrained():
        entry = open_clip.get_pretrained_cfg(model, tag)
        wanted = {name: entry.get(name) for name in ("hf_hub", "url", "quick_gelu")}
        table.setdefault(model, {})[tag] = {name: value for name, value in wanted.items() if value}
    return table


def generated() -> str:
    """What ``FILE`` holds for the open_clip that is installed."""
    made = {"package": PACKAGE, "version": importlib.metadata.version(PACKAGE), "models": installed()}
    return json.dumps(made, indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(generated(), "utf-8")
