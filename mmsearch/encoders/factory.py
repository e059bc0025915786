"""Which model to use, and the quickest way to run it here; torch and open_clip are imported only when they must be.

On a CPU every model runs through ONNX Runtime, from a model folder: the embedded one in this package, or one that was
exported to ``<cache>/models/<fingerprint>``.  Its int8 form (``int8.py``) is a folder there too, made from the export.
On GPUs models run in torch, on each one that there is.
"""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from mmsearch.config import Settings
from mmsearch.encoders.device import all_devices, choose_device
from mmsearch.encoders.hub import access, published, registry
from mmsearch.encoders.hub.registry import Source
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.encoders.onnx.published import PublishedEncoder
from mmsearch.encoders.packages import lacking, needed_for, not_installed
from mmsearch.encoders.protocol import Encoder, ModelCard
from mmsearch.encoders.torch.multi_gpu import on_all
from mmsearch.errors import ModelError

if TYPE_CHECKING:
    from mmsearch.encoders.torch.open_clip_encoder import OpenClipEncoder

logger = logging.getLogger(__name__)

EMBEDDED = Path(__file__).parent / "weights" / "embedded"  # the model folder that ships with this package


@dataclass(frozen=True)
class LoadOptions:
    """How models are found and loaded on this machine; nothing of it changes what a model says, but ``precision``."""

    device: str = "auto"  # "auto", "cpu" or "cuda"
    cache: Path = field(default_factory=lambda: Settings().cache)  # where exported models lie
    defaults: tuple[str, str] = (Settings.cpu_model, Settings.gpu_model)  # what "auto" wants on a CPU and on a GPU
    precision: str = "float32"  # or "int8", which is for open_clip models on a CPU
    trust_pickle: bool = False  # weights that are pickles are read
    quick: bool = False  # for a few questions only: graphs are loaded in a third of the time, and run more slowly
    embedded: Path = EMBEDDED  # the folder of the embedded model

    @classmethod
    def of(cls, settings: Settings, quick: bool = False) -> LoadOptions:
        """What a person's settings say of it."""
        return cls(
            settings.device,
            settings.cache,
            (settings.cpu_model, settings.gpu_model),
            settings.precision,
            settings.trust_pickle,
            quick,
        )


@dataclass(frozen=True)
class Choice:
    """An encoder, and a line for the user that says which model it is and why."""

    encoder: Encoder
    note: str


def embedded() -> OnnxEncoder:
    """The embedded model on the CPU."""
    return OnnxEncoder(EMBEDDED)


def embedded_card(options: LoadOptions) -> ModelCard:
    """That of the embedded model.  Raises ModelError where it is not there."""
    return ModelCard.read(options.embedded)


def exports(cache: Path) -> list[OnnxEncoder]:
    """The complete exported models in the cache, in the order of their names."""
    found = []
    for folder in (cache / "models").glob("[!.]*"):
        encoder = _exported(folder)
        if encoder is not None:
            found.append(encoder)
    return sorted(found, key=lambda encoder: (encoder.card.name, encoder.card.fingerprint))


def choose(spec: str, options: LoadOptions) -> Choice:
    """The encoder for a new library.

    ``spec`` is ``auto``, ``embedded``, or a name as ``registry.find`` takes it.  ``auto`` takes the embedded model
    where its first choice cannot be had.  On a CPU the export of an earlier run is used as it is, except of a
    ``local-dir:`` model, whose weights may have changed.  Of a model that cannot be had in int8 the note says so where
    int8 is wanted, and ``auto`` takes float32.  Raises ModelError when a model asked for by name, int8 of it, or the
    device cannot be used.
    """
    device = choose_device(options.device)
    precision = options.precision if device == "cpu" else "float32"
    choice = _choice(spec, replace(options, device=device, precision=precision))
    if options.precision == "int8" and choice.encoder.card.precision != "int8" and "in float32" not in choice.note:
        return replace(choice, note=f"{choice.note}; not in int8, which is for open_clip models on a CPU")
    return choice


def _choice(spec: str, options: LoadOptions) -> Choice:
    on_gpu = options.device == "cuda"
    wanted = options.defaults[on_gpu] if spec == "auto" else spec
    if wanted == "embedded":
        return Choice(_embedded(options.embedded, options), "using the embedded model")
    try:
        source = registry.find(wanted, [encoder.card.name for encoder in exports(options.cache)])
        obstacle = _obstacle(source, options) if spec == "auto" else None
        if obstacle is None:
            choice = _named(source, options, strict=spec != "auto")
            why = f", the first choice on a {'GPU' if on_gpu else 'CPU'}" if spec == "auto" else ""
            return Choice(choice.encoder, f"{choice.note}{why}")
    except ModelError as error:
        if spec != "auto":
            raise
        obstacle = str(error)
    return Choice(_embedded(options.embedded, options), f"using the embedded model: {obstacle}")


def for_card(card_name: str, fingerprint: str, options: LoadOptions) -> Encoder:
    """The encoder that made the vectors of a library, by the name and fingerprint stored there.

    The precision is that of the vectors, whatever the options say.  Raises ModelError when it cannot be had, or when
    the model of that name has other weights now.
    """
    here = replace(options, device=choose_device(options.device))
    shipped = OnnxEncoder(options.embedded).card
    if fingerprint == shipped.fingerprint:
        return _embedded(options.embedded, here)
    exported = _exported(options.cache / "models" / fingerprint, options.quick)
    if exported is not None and (here.device == "cpu" or exported.card.precision == "int8"):
        return exported
    if card_name == shipped.name:
        raise ModelError(
            f"this library was made with another version of the embedded model ({fingerprint}; this one is "
            f"{shipped.fingerprint}); encode it anew",
            code="model-changed",
            name=shipped.name,
        )
    encoder: Encoder
    try:
        source = registry.find(card_name)
        if source.folder is not None and registry.is_model_folder(source.folder):
            encoder = _in_folder(source, here)[0]
        elif (ready := _published(source, here)) is not None:
            encoder = ready[0]
        else:
            encoder = _torch(card_name, here)
            if here.device == "cuda":
                encoder = on_all(encoder, all_devices(here.device))
    except ModelError as error:
        if exported is None or options.device == "cuda":
            raise
        logger.warning("%s: running on the CPU", error)  # the weights are gone, but an earlier run exported them
        return exported
    if replace(encoder.card, precision="int8").fingerprint == fingerprint and not isinstance(encoder, OnnxEncoder):
        on_cpu = replace(here, device="cpu")
        return _quantized(encoder if here.device == "cpu" else _torch(card_name, on_cpu), on_cpu)
    if encoder.card.fingerprint != fingerprint:
        raise ModelError(
            f"{card_name} is not what it was when this library was made: its weights or settings have changed "
            f"({fingerprint} then, {encoder.card.fingerprint} now); bring the old ones back, or encode the library "
            "anew",
            code="model-changed",
            name=card_name,
        )
    if here.device == "cuda" or isinstance(encoder, OnnxEncoder):
        return encoder
    return _export(cast("OpenClipEncoder", encoder), here)[0]


def full_name(spec: str, cache: Path) -> str:
    """A name as a card has it.  Raises ModelError when there is no such model."""
    return spec if spec == "embedded" else registry.find(spec, [found.card.name for found in exports(cache)]).name


def precision_of(fingerprint: str, options: LoadOptions) -> str | None:
    """The precision of the model with this fingerprint, as its card says it, such as ``float32`` or ``int8``.

    None where neither the embedded model nor an export in the cache tells.
    """
    with contextlib.suppress(ModelError):  # a checkout without its weights
        card = OnnxEncoder(options.embedded).card
        if card.fingerprint == fingerprint:
            return card.precision
    for encoder in exports(options.cache):
        for precision in (encoder.card.precision, "float32", "int8"):  # an export tells of its other form too
            if replace(encoder.card, precision=precision).fingerprint == fingerprint:
                return precision
    return None


def remembering(encoder: Encoder, options: LoadOptions) -> Encoder:
    """The encoder, which remembers in the cache what it measures of this machine."""
    encoder.measured = options.cache / "runs.json"
    return encoder


def exported_anew(encoder: Encoder, options: LoadOptions) -> Encoder:
    """An export from before there were region tokens, made anew; any other encoder as it is.

    An export stays, too, where its model is not on this machine any more, or has other weights now.
    """
    if not isinstance(encoder, OnnxEncoder) or not encoder.dated or encoder.folder.parent != options.cache / "models":
        return encoder
    name = encoder.card.name
    try:
        source = registry.find(name)
        if registry.weights(source) is None:
            logger.info(
                "%s gives no region tokens: it was exported by an earlier version, and its weights are gone", name
            )
            return encoder
        logger.info("exporting %s anew, so that it gives region tokens", name)
        model = _torch(name, replace(options, device="cpu"))
        if model.card.fingerprint != encoder.card.fingerprint:
            return encoder
        with needed_for("an export"):
            from mmsearch.encoders.export.open_clip import export

        return export(model, encoder.folder)
    except (ModelError, OSError) as error:
        logger.warning("%s gives no region tokens: %s", name, error)
        return encoder


def _obstacle(source: Source, options: LoadOptions) -> str | None:
    """Why ``auto`` does not even try its first choice; None when it is on this machine or the hub answers."""
    forms = [replace(options, precision=precision) for precision in {options.precision, "float32"}]
    if options.device == "cpu" and any(_earlier(source, form) is not None for form in forms):
        return None
    if source.pretrained is not None and (missing := lacking(("open_clip", "torch"))):
        return f"{source.name} needs {not_installed(missing)}"
    if registry.weights(source) is not None:
        return None
    absent = f"{source.name} is not on this machine"
    if source.folder is not None:
        return absent
    variable = access.forbidden()
    if variable is not None:
        return f"{absent} and {variable} forbids to download it"
    status = access.ask(source.repo)
    if status is None:
        return f"no model hub can be reached and {absent}"
    if status == 200 or status in access.BUSY:
        return None
    return f"{access.endpoint()} answers with HTTP {status} and {absent}"


def _named(source: Source, options: LoadOptions, strict: bool) -> Choice:
    """``strict``: raises ModelError where the model cannot be had in int8, in place of taking float32."""
    if source.folder is not None and registry.is_model_folder(source.folder):
        encoder, note = _in_folder(source, options)
        return Choice(encoder, note)
    int8 = options.precision == "int8"
    earlier = _earlier(source, options) if options.device == "cpu" else None
    if earlier is not None:
        return Choice(earlier, f"using {source.name}{' in int8' if int8 else ''}")
    ready = _published(source, options)
    if ready is not None:
        return Choice(*ready)
    if int8:
        plainly = replace(options, precision="float32")
        try:
            plain = _earlier(source, plainly) or _torch(source.name, options)
            return Choice(_quantized(plain, options), f"using {source.name} in int8")
        except ModelError as error:
            if strict:
                raise
            choice = _named(source, plainly, strict)
            return replace(choice, note=f"{choice.note} in float32: {error}")
    model = _torch(source.name, options)
    if options.device == "cuda":
        return Choice(on_all(model, all_devices(options.device)), f"using {source.name}")
    return Choice(*_export(model, options))


def _in_folder(source: Source, options: LoadOptions) -> tuple[Encoder, str]:
    """The model in a model folder, which ``mmsearch train`` wrote, and a line about it.

    It is called by the folder's present name, whatever it was called when it was written.
    """
    assert source.folder is not None
    note = f"using {source.name}"
    encoder: Encoder
    if options.device == "cuda" and not (source.folder / "recipe.json").is_file():
        options, note = replace(options, device="cpu"), f"{note} on the CPU: it was exported for that"
    encoder = _embedded(source.folder, options)
    encoder.card = replace(encoder.card, name=source.name)  # type: ignore[misc]
    return encoder, note


def _published(source: Source, options: LoadOptions) -> tuple[Encoder, str] | None:
    """The model out of ONNX graphs that others published, downloaded if need be, and a line about it.

    None where a folder or repository holds none.  Raises ModelError where those cannot be had or used.
    """
    folder = registry.published_folder(source)
    elsewhere = source.folder is None and source.pretrained is None and registry.weights(source) is None
    if elsewhere and access.forbidden() is None:
        answer = access.about(source.repo)
        names = answer.files if answer is not None else ()
        if answer is not None and answer.status not in (200, 401, 403, 404):  # it is busy, or out of order
            from mmsearch.encoders.hub import download

            names = download.listing(source.name, source.repo)
        files = published.files_of(names)
        if files:
            from mmsearch.encoders.hub import download

            logger.info("downloading %s from %s", source.name, access.endpoint())
            download.fetch_all(source.name, source.repo, files)
            folder = registry.published_folder(source)
    if folder is None:
        return None
    note = f"using {source.name}"
    if options.device == "cuda":
        note = f"{note} on the CPU: it was published for that"
    return PublishedEncoder(folder, source.name, options.cache, quick=options.quick), note


def _earlier(source: Source, options: LoadOptions) -> OnnxEncoder | None:
    """The export of an earlier run; None where the weights must be looked at, or there is none."""
    if source.folder is not None:
        return None
    wanted = source.name, options.precision
    for found in exports(options.cache):
        if (found.card.name, found.card.precision) == wanted:
            return OnnxEncoder(found.folder, quick=options.quick)
    return None


def _exported(folder: Path, quick: bool = False) -> OnnxEncoder | None:
    """The exported model whose fingerprint the folder is called by; None when there is none, or not in order."""
    try:
        encoder = OnnxEncoder(folder, quick=quick)
    except (ModelError, OSError):
        return None
    return encoder if encoder.card.fingerprint == folder.name else None


def _export(encoder: OpenClipEncoder, options: LoadOptions) -> tuple[Encoder, str]:
    """The model through ONNX Runtime, exported if need be; in torch where that fails, which is slower to start."""
    note = f"using {encoder.card.name}"
    folder = options.cache / "models" / encoder.card.fingerprint
    earlier = _exported(folder, options.quick)
    if earlier is not None:
        return earlier, note
    try:
        with needed_for("the export for ONNX Runtime"):
            from mmsearch.encoders.export.open_clip import export

        return export(encoder, folder), note
    except (ModelError, OSError) as error:
        logger.warning("%s", error)
        return encoder, f"{note} in torch: {error}"


def _quantized(plain: Encoder, options: LoadOptions) -> OnnxEncoder:
    """The int8 form of a float32 model on the CPU, made if need be.  Raises ModelError."""
    name, fingerprint = plain.card.name, replace(plain.card, precision="int8").fingerprint
    folder = options.cache / "models" / fingerprint
    earlier = _exported(folder, options.quick)
    if earlier is not None:
        return earlier
    note = ""
    if isinstance(plain, OnnxEncoder):
        plain = exported_anew(plain, options)
    else:
        plain, note = _export(cast("OpenClipEncoder", plain), options)
    if not isinstance(plain, OnnxEncoder):
        raise ModelError(f"there is no int8 of {name} without its export ({note})", code="no-int8")
    with needed_for("int8"):
        from mmsearch.encoders.export import int8

    try:
        return int8.quantized(plain, folder)
    except OSError as error:
        raise ModelError(f"{name} cannot be written in int8: {error}", code="no-int8") from error


def _torch(name: str, options: LoadOptions) -> OpenClipEncoder:
    with needed_for(f"the open_clip model {name}"):
        from mmsearch.encoders.torch.open_clip_encoder import OpenClipEncoder

    return OpenClipEncoder.load(name, options.device, trust_pickle=options.trust_pickle)


def _embedded(folder: Path, options: LoadOptions) -> Encoder:
    if options.device == "cpu":
        return OnnxEncoder(folder, quick=options.quick)
    with needed_for("the embedded model on a GPU"):
        from mmsearch.encoders.torch.embedded_encoder import TorchEmbeddedEncoder

    return on_all(TorchEmbeddedEncoder(folder, options.device), all_devices(options.device))
