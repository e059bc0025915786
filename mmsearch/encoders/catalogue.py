"""What models there are, and where: the list that ``mmsearch models`` shows.  Imports neither torch nor open_clip."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mmsearch.config import Settings
from mmsearch.encoders.factory import EMBEDDED, exports
from mmsearch.encoders.hub import access, languages, published, registry
from mmsearch.encoders.hub.registry import Source
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.errors import ModelError


@dataclass(frozen=True)
class ModelInfo:
    """One model that can be asked for by name."""

    name: str
    dim: int | None  # of its vectors; None where only loading the model would tell
    image_size: int | None  # pixels a side; likewise
    bytes: int | None  # on this disk; None when it is not here
    where: Literal["embedded", "exported", "downloaded", "hub"]  # the nearest place it can be had from
    fingerprint: str | None = None  # of what is embedded or exported
    precision: str | None = None  # likewise
    languages: str | None = None  # that its texts may be in, such as "English"; None where nobody says


def available(
    cache: Path,
    full: bool = False,
    defaults: Iterable[str] = (Settings.cpu_model, Settings.gpu_model),
    embedded_folder: Path = EMBEDDED,
) -> list[ModelInfo]:
    """The embedded model, the exported and the downloaded ones, and ``defaults``; with ``full`` all of open_clip's.

    Each name comes once, with the first of these places that has it, and once more where it is exported in int8 too.
    """
    found: list[ModelInfo] = []
    with contextlib.suppress(ModelError):  # a checkout without its weights
        found.append(_in_folder(OnnxEncoder(embedded_folder), "embedded"))
    found += [_in_folder(encoder, "exported") for encoder in exports(cache)]
    entries = registry.entries()
    known = {entry.repo for entry in entries}
    sources = [entry.source for entry in entries]
    sources += [
        Source(f"{registry.HUB}{repo}", f"{registry.HUB}{repo}") for repo in access.repositories() if repo not in known
    ]
    wanted = set()
    for name in defaults:
        with contextlib.suppress(ModelError):  # a misspelt setting: this list is where to look for the right name
            wanted.add(registry.find(name).name)
    for source in sources:
        file = registry.weights(source)
        if file is not None or source.name in wanted or (full and source.pretrained is not None):
            found.append(_of_source(source, file))
    first: dict[tuple[str, bool], ModelInfo] = {}
    for info in found:
        first.setdefault((info.name, info.precision == "int8"), info)
    return list(first.values())


def _in_folder(encoder: OnnxEncoder, where: Literal["embedded", "exported"]) -> ModelInfo:
    card = encoder.card
    size = sum(file.stat().st_size for file in encoder.folder.iterdir() if file.is_file())
    spoken = languages.ENGLISH if where == "embedded" else _languages(card.name)
    return ModelInfo(card.name, card.dim, card.preprocess.size, size, where, card.fingerprint, card.precision, spoken)


def _of_source(source: Source, file: Path | None) -> ModelInfo:
    facts = registry.description(source)
    size = facts.get("vision_cfg", {}).get("image_size")
    return ModelInfo(
        source.name,
        facts.get("embed_dim"),
        size if isinstance(size, int) else None,
        None if file is None else _size(source, file),
        "hub" if file is None else "downloaded",
        languages=_languages(source.name, source),
    )


def _languages(name: str, source: Source | None = None) -> str | None:
    """The languages of a model by its full name, or by what describes it on this machine."""
    model = name.rpartition("/")[0]
    if model in registry.table():
        return languages.of_architecture(model)
    if not name.startswith((registry.HUB, registry.LOCAL)):
        return None
    if name.startswith(registry.HUB) and (model := _exported_from(name)) in registry.table():
        return languages.of_architecture(model)
    return languages.of_description(registry.description(source or Source(name, name)))


def _exported_from(name: str) -> str:
    """The architecture that a repository with ONNX exports is called after, as ``ViT-B-32__openai``."""
    return name.rpartition("/")[2].partition("__")[0]


def _size(source: Source, file: Path) -> int:
    """Bytes of a model's weights, which ``file`` holds unless they are published in several."""
    folder = registry.published_folder(source)
    if folder is None:
        return file.stat().st_size
    return sum((folder / name).stat().st_size for name in published.weights_of(folder))
