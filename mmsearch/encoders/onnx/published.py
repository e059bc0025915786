"""ONNX exports that others publish (``hub/published.py``), run as they are; imports neither torch nor open_clip.

Their graphs differ: pictures as float32 or float16, ids as int32 or int64, any number of rows in a run or only one,
vectors of any length.  What a graph takes and gives is looked at and tried out once, and remembered in the user's
cache folder together with a hash of the weights, which takes seconds.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from mmsearch.encoders.hub import published
from mmsearch.encoders.onnx import session as onnx_session
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.encoders.protocol import (
    LONGEST,
    Cleaning,
    ModelCard,
    TokenRules,
    preprocess_from,
    said,
    whole_number,
)
from mmsearch.errors import ModelError
from mmsearch.media.filesystem import atomic_write, open_regular, read_regular, read_text
from mmsearch.types import Pixels, Preprocess, Vectors

CONTEXT = 77  # open_clip's, where its description does not say another
_FLOATS = {"tensor(float)": "float32", "tensor(float16)": "float16"}
_WHOLE = {"tensor(int32)": "int32", "tensor(int64)": "int64"}


@dataclass(frozen=True)
class GraphFacts:
    """What one graph takes and gives."""

    given: str  # name of its input
    dtype: str  # that the input is wanted in, as NumPy calls it
    rows: int  # that a run must have; 0 is any number
    output: str  # name of its vectors


@dataclass(frozen=True)
class _Known:
    """What was found out of a folder."""

    card: ModelCard
    image: GraphFacts
    text: GraphFacts


class PublishedEncoder(OnnxEncoder):
    """An ``Encoder`` over the graphs that others published, on the CPU.  It gives no region tokens."""

    def __init__(self, folder: Path, name: str, cache: Path, threads: int = 0, quick: bool = False) -> None:
        """The model ``name`` in ``folder``; ``cache`` remembers what was found out of it.

        Raises ModelError when a file is missing or unreadable, or a graph is none of a CLIP model's.
        """
        known = _known(folder, name, cache / "published")
        files = {
            "image.onnx": folder / published.VISUAL,
            "text.onnx": folder / published.TEXTUAL,
            "tokenizer.json": _file(folder, published.TOKENIZER),
        }
        self._start(folder, replace(known.card, name=name), files, threads, quick)
        self._image, self._words = known.image, known.text
        self._most = known.image.rows

    def _run_pictures(self, session: Any, outputs: list[str], share: Pixels) -> list[NDArray[np.float32]]:
        file, prepared = self._files["image.onnx"], _prepared(share, self.card.preprocess)
        return [_run(session, file, self._image, prepared)]

    def _run_texts(self, ids: NDArray[np.int64]) -> Vectors:
        session, file = self.text_graph.session(len(ids)), self._files["text.onnx"]
        size = self._words.rows or len(ids)
        shares = [ids[start : start + size] for start in range(0, len(ids), size)]
        return np.concatenate([_run(session, file, self._words, share) for share in shares])


def _prepared(pixels: Pixels, preprocess: Preprocess) -> NDArray[np.float32]:
    """(n, size, size, 3) uint8 -> (n, 3, size, size) float32, as open_clip gives them to its models."""
    scale = 255 * np.array(preprocess.std, np.float32)
    shift = np.array(preprocess.mean, np.float32) / np.array(preprocess.std, np.float32)
    return np.ascontiguousarray((pixels / scale - shift).transpose(0, 3, 1, 2), np.float32)


def _run(session: Any, file: Path, facts: GraphFacts, rows: NDArray[Any]) -> NDArray[np.float32]:
    """The vectors of these rows; there may be fewer than the graph wants, which is then given the last one again."""
    lacking = max(0, facts.rows - len(rows))
    full = np.concatenate([rows, rows[-1:].repeat(lacking, axis=0)]) if lacking else rows
    (vectors,) = onnx_session.run(session, file, [facts.output], {facts.given: full.astype(facts.dtype)})
    return vectors[: len(rows)].astype(np.float32)


def _known(folder: Path, name: str, cache: Path) -> _Known:
    """What is remembered of a folder, or found out now; the card's name is the one that it had then."""
    try:
        names = published.weights_of(folder)
        names += _described(folder)
        stamp = [[one, (folder / one).stat().st_size, (folder / one).stat().st_mtime_ns] for one in names]
    except OSError as error:
        raise ModelError(f"{folder} cannot be read: {error.strerror or error}") from error
    memory = cache / f"{hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:16]}.json"
    with contextlib.suppress(OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
        facts = json.loads(read_text(memory))
        if facts["stamp"] == stamp:
            card = ModelCard.from_json(json.dumps(facts["card"]))
            return _Known(card, GraphFacts(**facts["image"]), GraphFacts(**facts["text"]))
    known = _found_out(folder, name)
    with contextlib.suppress(OSError):  # then it is found out again next time
        cache.mkdir(parents=True, exist_ok=True)
        content = {"folder": str(folder), "stamp": stamp, **asdict(known)}
        atomic_write(memory, (json.dumps(content, indent=1) + "\n").encode())
    return known


def _described(folder: Path) -> list[str]:
    """The files beside the graphs that say how the model is used, as far as they are there."""
    choices = (published.CONFIG, published.PREPROCESS, published.TOKENIZER, published.TOKENIZER_CONFIG)
    files = (published.found(folder, choice) for choice in choices)
    return [file.relative_to(folder).as_posix() for file in files if file is not None]


def _found_out(folder: Path, name: str) -> _Known:
    """Reads the files, loads both graphs, and runs each on one row.  Raises ModelError."""
    try:
        config = _json(folder / published.CONFIG[0]) if (folder / published.CONFIG[0]).is_file() else {}
        config = config.get("model_cfg", config)
        text_cfg = config.get("text_cfg", {})
        image_file, text_file = folder / published.VISUAL, folder / published.TEXTUAL
        context = text_cfg.get("context_length") or _context(text_file) or CONTEXT
        whole_number("context_length", context, 1, LONGEST)
        preprocess = preprocess_from(_json(_file(folder, published.PREPROCESS)), name)
        rules = _rules(folder, text_cfg, context)
        card = ModelCard(name, config.get("embed_dim", 1), preprocess, rules, "", "as published")
        ModelCard.from_json(card.to_json())  # sizes are sane before anything is made of them
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise ModelError(f"{folder} describes no model that can be used: {said(error)}") from error
    picture = np.zeros((1, preprocess.size, preprocess.size, 3), np.uint8)
    image, image_dim = _tried(image_file, _FLOATS, _prepared(picture, preprocess), "pictures as floating point numbers")
    row = np.full((1, context), rules.pad_id, np.int64)
    text, text_dim = _tried(text_file, _WHOLE, row, "ids of tokens as whole numbers")
    dim = config.get("embed_dim", image_dim)
    if not image_dim == text_dim == dim:
        raise ModelError(
            f"the vectors of {name} do not fit: {image_dim} dimensions of pictures, {text_dim} of texts, config.json "
            f"says {dim}"
        )
    return _Known(replace(card, dim=dim, weights=_hash(folder)), image, text)


def _tried(file: Path, kinds: Mapping[str, str], example: NDArray[Any], what: str) -> tuple[GraphFacts, int]:
    """What a graph takes and gives, and the width of its vectors; ``example`` is one row as it should take it."""
    session = onnx_session.load([file], quick=True)
    inputs = session.get_inputs()
    shape = list(inputs[0].shape) if len(inputs) == 1 else []
    fits = len(shape) == example.ndim and all(
        not isinstance(has, int) or has == wanted for has, wanted in zip(shape[1:], example.shape[1:], strict=True)
    )
    if not fits or inputs[0].type not in kinds:
        wanted = ", ".join(["n", *map(str, example.shape[1:])])
        raise ModelError(f"{file} takes {_spelled(inputs)}; wanted is one input ({wanted}), {what}")
    rows = shape[0] if isinstance(shape[0], int) else 0
    facts = GraphFacts(inputs[0].name, kinds[inputs[0].type], rows, "")
    outputs = session.get_outputs()
    full = example.repeat(max(rows, 1), axis=0).astype(facts.dtype)
    values = onnx_session.run(session, file, None, {facts.given: full})
    vectors = [
        (output.name, value.shape[1])
        for output, value in zip(outputs, values, strict=True)
        if output.type in _FLOATS and value.ndim == 2 and len(value) == len(full)
    ]
    if len(vectors) != 1:
        raise ModelError(f"{file} gives {_spelled(outputs)}; wanted is one output (n, dimensions), a vector a row")
    return replace(facts, output=vectors[0][0]), vectors[0][1]


def _context(file: Path) -> int | None:
    """The number of tokens that a text graph takes, where it takes no other."""
    shape = onnx_session.load([file], quick=True).get_inputs()[0].shape
    return shape[1] if len(shape) == 2 and isinstance(shape[1], int) else None


def _spelled(values: Sequence[Any]) -> str:
    """Inputs or outputs of a graph in words."""
    return ", ".join(
        f"{value.name} ({', '.join(map(str, value.shape))}) {value.type.removeprefix('tensor').strip('()')}"
        for value in values
    )


def _rules(folder: Path, text_cfg: Mapping[str, Any], context: int) -> TokenRules:
    """How the model wants its texts, as open_clip's description of it says."""
    file = _file(folder, published.TOKENIZER)
    options = text_cfg.get("tokenizer_kwargs", {})
    borrowed = text_cfg.get("hf_tokenizer_name") or text_cfg.get("hf_model_name")
    if text_cfg.get("tokenizer_mode"):
        raise ModelError(f"the tokenizer mode {text_cfg['tokenizer_mode']!r} in {folder} is not supported")
    own = bool(text_cfg) and not borrowed  # CLIP's tokenizer, which open_clip brings, and pads with 0
    clean: Cleaning = options.get("clean", "lower" if own else "whitespace")
    try:
        tokenizer = Tokenizer.from_buffer(read_regular(file))
    except Exception as error:  # tokenizers raises Exception itself
        raise ModelError(f"{file} cannot be read: {said(error)}") from error
    named = published.found(folder, published.TOKENIZER_CONFIG)
    tokens = {} if named is None else _json(named)
    stated = _token(tokenizer, tokens.get("pad_token"))
    if stated is None:
        stated = (tokenizer.padding or {}).get("pad_id", 0)
    pad_id = 0 if own else stated
    sep_id = _token(tokenizer, tokens.get("sep_token")) if options.get("strip_sep_token") else None
    return TokenRules(context, pad_id, clean, strip_sep_id=sep_id)


def _token(tokenizer: Tokenizer, token: Any) -> int | None:
    """The number of a token that ``tokenizer_config.json`` names, as text or with more about it."""
    text = token.get("content") if isinstance(token, dict) else token
    found: int | None = tokenizer.token_to_id(text) if isinstance(text, str) else None
    return found


def _hash(folder: Path) -> str:
    """sha256 over names and contents of the graphs, their weights and the tokenizer."""
    digest = hashlib.sha256()
    tokenizer = _file(folder, published.TOKENIZER).relative_to(folder).as_posix()
    for name in (tokenizer, *published.weights_of(folder)):
        one = hashlib.sha256()
        with open_regular(folder / name) as opened:
            while block := opened.read(2**20):
                one.update(block)
        digest.update(f"{name} {one.hexdigest()}\n".encode())
    return digest.hexdigest()


def _file(folder: Path, choices: Sequence[str]) -> Path:
    """The first of these files that there is.  Raises ModelError where there is none."""
    found = published.found(folder, choices)
    if found is None:
        raise ModelError(f"the model folder {folder} is incomplete: {' or '.join(choices)} missing")
    return found


def _json(file: Path) -> dict[str, Any]:
    """The object in a JSON file.  Raises ModelError."""
    try:
        return dict(json.loads(read_text(file)))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise ModelError(f"{file} cannot be read: {said(error)}") from error
