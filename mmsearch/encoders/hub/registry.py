"""Names of open_clip models to what they stand for, and where their weights are; imports neither open_clip nor torch.

Importing open_clip takes 4 s.  So its table of pretrained weights is kept beside this file (``open_clip_table.py``),
and the JSON files of its architectures are read where they are installed.
"""

from __future__ import annotations

import difflib
import importlib.util
import json
import os
from collections.abc import Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

from mmsearch.encoders.hub import access, open_clip_table, published
from mmsearch.errors import ModelError
from mmsearch.media.filesystem import read_text

LOCAL, HUB = "local-dir:", "hf-hub:"  # open_clip's prefixes

# A bare architecture gets the first of these that it has, of several the one that open_clip lists last.
PREFERRED = (
    "webli",
    "meta",
    "metaclip2*",
    "dfn*",
    "datacomp_xl*",
    "datacomp_s34b*",
    "datacomp1b",
    "datacompdr*",
    "merged2b*",
    "laion2b*",
    "metaclip*",
    "openai",
    "laion400m*",
    "*",
)

_SAFE, _PICKLED = "open_clip_model.safetensors", "open_clip_pytorch_model.bin"
_LOCAL_WEIGHTS = (_SAFE, "open_clip_pytorch_model.safetensors", "model.safetensors", "*.safetensors")
_LOCAL_PICKLES = (_PICKLED, "open_clip_pytorch_model.pth", "*.bin", "*.pth", "*.pt")  # where there is nothing better


@dataclass(frozen=True)
class Pretrained:
    """One entry of open_clip's table."""

    model: str
    tag: str
    repo: str  # "org/name" on the hub; empty when ``url`` is all there is
    file: str  # its file there; empty for open_clip's usual names
    url: str
    quick_gelu: bool  # trained with QuickGELU; another activation gives other vectors

    @property
    def name(self) -> str:
        return f"{self.model}/{self.tag}"

    @property
    def source(self) -> Source:
        return Source(self.name, self.model, self)


@dataclass(frozen=True)
class Source:
    """What the name of a model stands for."""

    name: str  # in full, as a ``ModelCard`` has it
    model: str  # what open_clip's create_model takes
    pretrained: Pretrained | None = None  # None for a folder and for a repository that describes itself

    @property
    def folder(self) -> Path | None:
        """The model's folder, of a ``local-dir:`` name."""
        return Path(self.model[len(LOCAL) :]) if self.model.startswith(LOCAL) else None

    @property
    def repo(self) -> str:
        """The repository on the hub; empty where there is none."""
        if self.pretrained is not None:
            return self.pretrained.repo
        return self.model[len(HUB) :] if self.model.startswith(HUB) else ""


Table = dict[str, dict[str, Pretrained]]  # architecture -> tag -> entry


def find(name: str, exported: Collection[str] = ()) -> Source:
    """The source of ``NAME``, ``NAME/TAG``, ``local-dir:FOLDER`` or ``hf-hub:ORG/REPOSITORY``.

    A bare ``NAME`` gets the best tag that is on this machine (``exported`` holds the full names that are, whatever the
    Hugging Face cache holds), else the best tag.  Raises ModelError, with the names that come close, when open_clip has
    no such model.
    """
    if name.startswith(LOCAL):
        folder = Path(name[len(LOCAL) :]).expanduser().absolute()
        return Source(f"{LOCAL}{folder}", f"{LOCAL}{folder}")
    if name.startswith(HUB):
        return Source(name, name)
    found = _in_table(name, table(), exported)
    if found is None and not open_clip_table.is_current():  # another version of open_clip may know it
        found = _in_table(name, _table(open_clip_table.installed()), exported)
    if found is None:
        raise ModelError(_unknown(name, table()), code="unknown-model")
    return found


def weights(source: Source) -> Path | None:
    """The file with the model's weights on this machine; None when they are not here."""
    if source.folder is not None:
        if is_model_folder(source.folder):
            return source.folder / "image.onnx"
        if published.is_layout(source.folder):
            return source.folder / published.VISUAL
        patterns = (*_LOCAL_WEIGHTS, *_LOCAL_PICKLES)
        return next((file for pattern in patterns for file in sorted(source.folder.glob(pattern))), None)
    if source.pretrained is not None:
        return _pretrained_file(source.pretrained)
    if access.cached(source.repo, "open_clip_config.json") is None:
        folder = published_folder(source)
        return None if folder is None else folder / published.VISUAL
    return access.cached(source.repo, _SAFE) or access.cached(source.repo, _PICKLED)


def hub_files(source: Source) -> list[str]:
    """Names under which the repository may have the model's weights, as open_clip prefers them: safe ones first."""
    file = "" if source.pretrained is None else source.pretrained.file
    if not file:
        return [_SAFE, _PICKLED]
    return [f"{file[:-4]}.safetensors", file] if file.endswith((".bin", ".pth")) else [file]


def published_folder(source: Source) -> Path | None:
    """The folder on this machine with the ONNX exports that others publish of the model; None where there is none."""
    folder = access.snapshot(source.repo) if source.folder is None else source.folder
    if source.pretrained is not None or folder is None or not published.is_layout(folder):
        return None
    return folder


def is_model_folder(folder: Path) -> bool:
    """Whether a ``local-dir:`` folder holds a model of ours (``onnx/encoder.py``) and not one of open_clip."""
    return (folder / "model.json").is_file() and (folder / "image.onnx").is_file()


def description(source: Source) -> dict[str, Any]:
    """What open_clip calls ``model_cfg``, as far as it is on this machine; else empty."""
    try:
        if source.pretrained is not None:
            return dict(json.loads(read_text(architectures()[source.model])))
        if (folder := published_folder(source)) is not None:
            facts = dict(json.loads(read_text(folder / published.CONFIG[0])))
            return dict(facts.get("model_cfg", facts))
        name = "open_clip_config.json"
        file = source.folder / name if source.folder is not None else access.cached(source.repo, name)
        return dict(json.loads(read_text(file))["model_cfg"]) if file is not None else {}
    except (OSError, ValueError, LookupError, TypeError, RecursionError, ModelError, ImportError):
        return {}  # open_clip, which has them, may be missing


@cache
def architectures() -> dict[str, Path]:
    """The JSON files of open_clip's built-in architectures, by name."""
    return {file.stem: file for file in sorted((_package() / "model_configs").glob("*.json"))}


def entries() -> list[Pretrained]:
    """Every model that comes with weights, in open_clip's order."""
    return [entry for tags in table().values() for entry in tags.values()]


@cache
def table() -> Table:
    """open_clip's table of pretrained weights: architecture -> tag -> entry."""
    return _table(open_clip_table.stored())


def _table(raw: open_clip_table.Table) -> Table:
    found: Table = {}
    for model, tags in raw.items():
        for tag, facts in tags.items():
            repo, _, file = facts.get("hf_hub", "").rpartition("/")
            entry = Pretrained(model, tag, repo, file, facts.get("url", ""), facts.get("quick_gelu", False))
            found.setdefault(model, {})[tag] = entry
    return found


def _in_table(name: str, known: Table, exported: Collection[str]) -> Source | None:
    """The source of ``NAME/TAG`` or a bare ``NAME``; None when the table has no such entry."""
    model, _, tag = name.rpartition("/")
    tag = tag.lower().replace("-", "_")  # as open_clip does
    if tag in known.get(model, {}):
        return known[model][tag].source
    model = name.replace("/", "-")  # OpenAI wrote ViT-B/32
    if model not in known:
        return None
    choices = _by_preference(list(known[model].values()))
    here = (choice for choice in choices if choice.name in exported or _pretrained_file(choice) is not None)
    return next(here, choices[0]).source


def _unknown(name: str, known: Table) -> str:
    """The sentence for a name that open_clip does not have."""
    model, _, tag = name.rpartition("/")
    if model in known:
        tags = difflib.get_close_matches(tag, list(known[model]), n=5, cutoff=0.5)
        tags = tags or [entry.tag for entry in _by_preference(list(known[model].values()))[:5]]
        return f"{model} has no weights {tag!r} but, for example, {', '.join(tags)}"
    if importlib.util.find_spec("open_clip") is not None and name.replace("/", "-") in architectures():
        return f"open_clip has no pretrained weights for {name!r}"
    if Path(name).is_dir():
        return f"there is no model {name!r}; for the folder of that name say {LOCAL}{name}"
    close = difflib.get_close_matches(name, [*known, *(entry.name for entry in entries())], n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(close)}?" if close else ""
    return f"there is no model {name!r}{hint}"


def _by_preference(choices: list[Pretrained]) -> list[Pretrained]:
    def rank(entry: Pretrained) -> int:
        return next(number for number, pattern in enumerate(PREFERRED) if fnmatchcase(entry.tag, pattern))

    choices = choices[::-1]  # sorting keeps the later of equals in front
    return sorted(choices, key=rank)


def _pretrained_file(entry: Pretrained) -> Path | None:
    if not entry.repo:
        download = Path("~/.cache/clip").expanduser() / entry.url.rpartition("/")[2]
        return download if entry.url and download.is_file() else None
    return next(
        (file for name in hub_files(entry.source) if (file := access.cached(entry.repo, name)) is not None), None
    )


def _package() -> Path:
    spec = importlib.util.find_spec("open_clip")
    if spec is None or not spec.submodule_search_locations:
        raise ModelError("open_clip is not installed", code="no-packages", extra="models")
    return Path(os.fspath(spec.submodule_search_locations[0]))
