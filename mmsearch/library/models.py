"""The models of one library: which one it is bound to, and what is loaded of them, each once."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Hashable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from mmsearch.config import Settings
from mmsearch.encoders import factory
from mmsearch.encoders.protocol import Encoder, ModelCard
from mmsearch.errors import ModelError, ModelMismatchError, NoModelError
from mmsearch.language.prompts import scenes
from mmsearch.rerank import resolve
from mmsearch.rerank.reranker import Reranker
from mmsearch.search import querybank, retrieval
from mmsearch.search.calibration import Calibration
from mmsearch.search.reranking import Notes, RerankStage, left_out
from mmsearch.store.region_tokens import TokenModel
from mmsearch.store.types import StoredModel
from mmsearch.types import Note, Vectors

if TYPE_CHECKING:
    from mmsearch.search.imagination import Imagination
    from mmsearch.search.sketches import Sketches
    from mmsearch.store.protocol import Store

log = logging.getLogger(__name__)

TUNING_STRIDE = 4  # every 4th sentence of ``language/prompts.py`` is asked to tune an index

Value = TypeVar("Value")


class Once(Generic[Value]):
    """Values that are made once a key: who finds one ready takes no lock, others wait for the maker of theirs."""

    def __init__(self) -> None:
        self._values: dict[Hashable, Value] = {}
        self._locks: dict[Hashable, threading.Lock] = {}
        self._lock = threading.Lock()  # of the locks

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value of this key; what ``make`` raises is raised, and the next one tries again."""
        if key not in self._values:
            with self._lock:
                lock = self._locks.setdefault(key, threading.Lock())
            with lock:
                if key not in self._values:
                    self._values[key] = make()
        return self._values[key]

    def put(self, key: Hashable, value: Value) -> None:
        self._values[key] = value

    def values(self) -> list[Value]:
        return list(self._values.values())

    def keep(self, keys: Iterable[Hashable]) -> None:
        """Forget all others."""
        keys = set(keys)
        self._values = {key: value for key, value in self._values.items() if key in keys}


class Models:
    """What a library encodes and reranks with.  Safe to use from several threads.

    ``override`` is used in place of the model that the settings name: the seam for tests and for models of one's own.
    """

    def __init__(
        self, store: Store, folder: Path, settings: Settings, override: Encoder | None = None,
        quick: bool = False,
    ) -> None:  # fmt: skip
        self.override = override
        self._store, self._folder, self._settings = store, folder, settings
        self._options = factory.LoadOptions.of(settings, quick)
        self._encoders = Once[Encoder]()  # by fingerprint
        self._towers = Once[Encoder]()  # the embedded model, where region tokens come from it
        self._readings = Once[resolve.Reading]()  # by the identity of the encoder that is searched with
        self._rerankers = Once[Reranker]()  # as well
        self._querybanks = Once[Vectors]()  # by fingerprint
        self._sketches = Once["Sketches"]()
        self._imaginations = Once["Imagination"]()  # by the identity of the encoder that is searched with
        self._calibrations: dict[Path, tuple[int, Calibration | None]] = {}  # with the time of their files
        self._without_bank: set[str] = set()  # fingerprints of which it was said that they have none

    def active(self) -> StoredModel:
        """The model that is searched with.  Raises NoModelError before the first ``index``."""
        stored = self._store.model()
        if stored is None:
            raise NoModelError(f"the library {self._store.place} is empty")
        return stored

    def encoder(self, stored: StoredModel | None = None) -> Encoder:
        """The encoder of a model, by default of the active one.

        Raises NoModelError, ModelError, ModelMismatchError.
        """
        model = stored or self.active()
        return self._encoders.get(model.fingerprint, lambda: self._loaded(model))

    def _loaded(self, stored: StoredModel) -> Encoder:
        encoder = self.override or factory.for_card(stored.name, stored.fingerprint, self._options)
        if encoder.card.fingerprint != stored.fingerprint:
            raise ModelMismatchError(encoder.card.name, stored.name)
        return factory.remembering(encoder, self._options)

    def named(self, name: str | None) -> Encoder:
        """The encoder of this name, or the one that the settings name.  Raises ModelError."""
        if self.override is not None:
            return self.override
        choice = factory.choose(name or self._settings.model, self._options)
        if choice.note:
            log.info("%s", choice.note)
        return factory.remembering(choice.encoder, self._options)

    def bind(self, name: str | None, everything: bool) -> tuple[StoredModel, Encoder]:
        """The library's model; the first time, the chosen one; another one only where all is read with it."""
        stored = self._store.model()
        if stored is None or not (name is None or name == "auto" or (not everything and self._is_called(stored, name))):
            encoder = self.named(name)
            card = encoder.card
            return self.room_for(card.name, card.fingerprint, card.dim, everything), self._with_regions(encoder)
        return stored, self._with_regions(self.encoder(stored))  # in the precision that the library has

    def _is_called(self, stored: StoredModel, name: str) -> bool:
        """Whether the library's model has this name.  Raises ModelError when none has."""
        return self.override is None and factory.full_name(name, self._settings.cache) == stored.name

    def _with_regions(self, encoder: Encoder) -> Encoder:
        """An export from before there were region tokens, made anew where its own are wanted."""
        if self._settings.regions and self.override is None and self.token_encoder(encoder) is encoder:
            encoder = factory.remembering(factory.exported_anew(encoder, self._options), self._options)
            self._encoders.put(encoder.card.fingerprint, encoder)
        return encoder

    def room_for(self, name: str, fingerprint: str, dim: int, everything: bool = False) -> StoredModel:
        """Room for the vectors of a model: of the library's own, but where ``everything`` gets new ones.

        Raises ModelMismatchError.
        """
        stored = self._store.model()
        if stored is None or stored.fingerprint != fingerprint:
            if stored is not None and not everything:
                raise ModelMismatchError(name, stored.name)
            with self._store.writing() as writer:
                stored = writer.add_model(name, fingerprint, dim, active=stored is None)
        return stored

    def switch(self, model: StoredModel, active: StoredModel) -> list[str]:
        """From now on search with this model, if its vectors are complete; else a note that says why not."""
        lacking = self._store.pending_vectors(model)
        if lacking:
            return [
                Note(
                    f"still searching with {active.name}: {lacking} pictures have no vector of {model.name} yet, "
                    "because their folders are not there or they cannot be read",
                    "not-switched",
                )
            ]
        with self._store.writing() as writer:
            writer.activate(model)
        return []

    def forget_others(self, model: StoredModel) -> None:
        """Keep only what is loaded of this model."""
        self._encoders.keep({model.fingerprint})
        searched = {id(encoder) for encoder in self._encoders.values()}
        self._readings.keep(searched)
        self._rerankers.keep(searched)

    def kept(self, name: str) -> StoredModel:
        """A model of this name or fingerprint with complete vectors, not the active one if there are two.

        Raises ModelError.
        """
        models = self._store.kept_models()
        fitting = [one for one in models if name in (one.model.name, one.model.fingerprint)]
        chosen = min(fitting, key=lambda one: one.active, default=None)
        if chosen is None:
            names = ", ".join(one.model.name for one in models) or "none"
            raise ModelError(f"the library has no vectors of {name!r}, only of: {names}", code="no-vectors", name=name)
        if chosen.lacking:
            raise ModelError(
                f"{chosen.lacking} pictures have no vector of {chosen.model.name} yet",
                code="incomplete-vectors",
                name=chosen.model.name,
            )
        return chosen.model

    def _embedded(self) -> Encoder:
        """The embedded model, beside another one."""

        def load() -> Encoder:
            choice = factory.choose("embedded", replace(self._options, precision="float32"))
            return factory.remembering(choice.encoder, self._options)

        return self._towers.get("embedded", load)

    def _reading(self, encoder: Encoder) -> resolve.Reading:
        """What looks closely at the pictures of an encoder.  Raises ModelError."""
        wanted = self._settings.reranker
        return self._readings.get(id(encoder), lambda: resolve.reading(encoder, wanted, self._embedded))

    def token_encoder(self, encoder: Encoder) -> Encoder:
        """The encoder that gives the region tokens beside the vectors of ``encoder``: itself, or the embedded model's.

        It is the one whose tokens the reranker of the settings reads; where there is none, ``encoder``.
        """
        try:
            return self._reading(encoder).encoder
        except ModelError:
            return encoder

    def token_model(self, stored: StoredModel, encoder: Encoder, room: bool = False) -> TokenModel | None:
        """What the region tokens of pictures are of that are searched with ``stored``, whose encoder is ``encoder``.

        With ``room`` the library gets to know it; None where it does not, or where no encoder gives tokens.
        """
        source = self.token_encoder(encoder)
        card = source.card
        if card.regions is None:
            return None
        its = stored if source is encoder else self._store.known_model(card.fingerprint)
        if its is None and room:
            with self._store.writing() as writer:
                its = writer.add_model(card.name, card.fingerprint, card.dim, active=False)
        return None if its is None else TokenModel(source, its, card.regions)

    def beside(self) -> StoredModel | None:
        """The model that gives the library's region tokens, where that is not the one it is searched with."""
        stored = self._store.model()
        if stored is None:
            return None
        try:
            found = self.token_model(stored, self.encoder(stored))
        except ModelError as error:  # what it is cannot be told: rather keep too much
            log.info("region tokens are kept: %s", error)
            return next((one for one in self.of_tokens(stored) if one.id != stored.id), None)
        return None if found is None or found.stored.id == stored.id else found.stored

    def of_tokens(self, stored: StoredModel) -> list[StoredModel]:
        """The models whose region tokens a library that is searched with ``stored`` may have; none is loaded."""
        try:
            beside = self._store.known_model(factory.embedded_card(self._options).fingerprint)
        except ModelError:  # a checkout without its weights
            beside = None
        return [stored] if beside is None or beside.id == stored.id else [stored, beside]

    def reranker(self, encoder: Encoder | None = None) -> Reranker:
        """The reranker for an encoder's library, by default the active model's; its ``encoder`` gives what it reads.

        Raises ModelError where there is none, NoModelError.
        """
        encoder = encoder or self.encoder()
        wanted, quick = self._settings.reranker, self._options.quick
        return self._rerankers.get(id(encoder), lambda: resolve.load(self._reading(encoder), wanted, quick))

    def rerank_stage(self, stored: StoredModel, required: bool, asks: bool) -> tuple[RerankStage | None, Notes]:
        """What a search reranks with, where it is ``required`` or was measured to help, and what to say of it.

        ``asks`` says whether the query is a question.  A reranker that reads the tokens of another model than the one
        searched with answers questions, and changes no order unless it is ``required``: nobody measured that it helps.

        Raises ModelError, where it is required, when there is no reranker, or one that does not fit.  Where it is not,
        the latter is a note: a wrong setting must not stop a search.
        """
        encoder = self.encoder(stored)
        try:
            found = self._reading(encoder)
            own = found.encoder is encoder
            if not required and (found.folder is None or not (own or asks)):
                return None, ()
            reranker = self.reranker(encoder)
        except ModelError as error:
            if required:
                raise
            return None, (left_out(error),)
        if not (required or reranker.card.helps or not own):
            return None, ()
        tokens = self.token_model(stored, encoder)
        return RerankStage(reranker, tokens, self._settings.rerank_candidates, required, own), ()

    def imagination(self, encoder: Encoder) -> Imagination:
        """What imagines pictures for an encoder's library, loaded once.  Raises ModelError where nothing does."""
        from mmsearch.search.imagination import Imagination

        return self._imaginations.get(id(encoder), lambda: Imagination.load(encoder))

    def sketches(self) -> Sketches:
        """What draws region tokens of the embedded model, loaded once.  Raises ModelError."""
        from mmsearch.search.sketches import Sketches

        return self._sketches.get("", Sketches)

    def embedded_card(self) -> ModelCard | None:
        """That of the embedded model; None in a checkout without its weights."""
        try:
            return factory.embedded_card(self._options)
        except ModelError:
            return None

    def calibration_file(self, stored: StoredModel) -> Path:
        """Where the calibration is that was fitted to this library, for a model."""
        return self._folder / f"calibration-{stored.fingerprint}.json"

    def calibration(self, encoder: Encoder, stored: StoredModel) -> Calibration | None:
        """What relevance comes from: what was fitted to this library, else what the model brings; None for neither.

        Raises ModelError for a damaged one.
        """
        file = self.calibration_file(stored)
        try:
            changed = file.stat().st_mtime_ns  # each search asks, and another process may fit it
        except OSError:
            return Calibration.of(encoder)
        if self._calibrations.get(file, (0, None))[0] != changed:
            own = Calibration.load(file, "forget it, or fit it again", "bad-calibration")
            self._calibrations[file] = (changed, own)
        return self._calibrations[file][1]

    def querybank(self, stored: StoredModel) -> Vectors | None:
        """The querybank of a model, (m, dim), kept in the library's folder: it is needed without the encoder too.

        None where it was never made and the encoder cannot be loaded.
        """
        try:
            return self._querybanks.get(stored.fingerprint, lambda: self._made_querybank(stored))
        except ModelError as error:
            if stored.fingerprint not in self._without_bank:
                self._without_bank.add(stored.fingerprint)
                log.info("without hubness correction: %s", error)
            return None

    def _made_querybank(self, stored: StoredModel) -> Vectors:
        version = querybank.version(self._folder, stored.fingerprint)
        file = self._folder / querybank.bank_file(stored.fingerprint, version)
        try:
            return querybank.load(file, stored.dim)
        except (OSError, ValueError, EOFError):
            made = querybank.vectors(self.encoder(stored))
            with contextlib.suppress(OSError):  # a library that may only be read
                querybank.save(file, made)
            return made

    def querybank_version(self, stored: StoredModel) -> str:
        """Names the querybank of a model, in the names of files that depend on it; "plain" where there is none."""
        return "plain" if self.querybank(stored) is None else querybank.version(self._folder, stored.fingerprint)

    def precision_of(self, stored: StoredModel) -> str | None:
        """The precision of a model, such as ``float32`` or ``int8``; None where nothing on this machine tells."""
        return factory.precision_of(stored.fingerprint, self._options)

    def forget_querybanks(self) -> None:
        """They are read, or made, anew."""
        self._querybanks.keep([])

    def typical_queries(self, stored: StoredModel) -> Vectors:
        """What an index is asked for texts such as people type, (n, dim + 1) float32."""
        encoder, texts = self.encoder(stored), scenes()[::TUNING_STRIDE]
        starts = range(0, len(texts), querybank.AT_ONCE)
        vectors = np.concatenate([encoder.encode_texts(texts[start : start + querybank.AT_ONCE]) for start in starts])
        pairs = zip(vectors, texts, strict=True)
        return np.stack(
            [retrieval.augmented(retrieval.QueryVector(vector, beta=retrieval.beta(text))) for vector, text in pairs]
        )
