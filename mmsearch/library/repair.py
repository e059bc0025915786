"""Verify and repair: what a library is made of is looked at, and made again where that can be done."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmsearch.errors import ModelError
from mmsearch.library.models import Models
from mmsearch.manage import health
from mmsearch.manage.health import Parts
from mmsearch.search import querybank
from mmsearch.store.protocol import Store, VectorSearch
from mmsearch.store.types import Damage
from mmsearch.types import Progress

log = logging.getLogger(__name__)

_ROUNDS = 3  # of looking and mending: one for the database, one for the index, one for the files


@dataclass(frozen=True)
class Repaired:
    """What a repair did."""

    mended: tuple[Damage, ...]
    left: tuple[Damage, ...]  # what it could not mend


@dataclass(frozen=True)
class Checkup:
    """A library that is looked at."""

    folder: Path
    store: Store
    vectors: VectorSearch
    models: Models

    def verify(self, deep: bool, progress: Callable[[Progress], None] | None) -> list[Damage]:
        """Everything that is not in order."""
        return health.look(self._parts(), deep, progress)

    def repair(self, deep: bool, progress: Callable[[Progress], None] | None) -> Repaired:
        """Mend what is found.  The writer's lock is held."""
        mended: dict[str, Damage] = {}
        for _ in range(_ROUNDS):
            found = self.verify(deep, progress)
            if not any(one.mendable for one in found):
                break
            self._mend(found)
            mended |= {one.kind: one for one in found if one.mendable}
        else:
            found = self.verify(deep, progress)
        if mended and not found and (model := self.store.model()) is not None:
            self.vectors.refresh(model, save=True)
            self.vectors.maintain(model, progress)
        left = {one.kind for one in found}
        return Repaired(tuple(one for kind, one in mended.items() if kind not in left), tuple(found))

    def _mend(self, found: Sequence[Damage]) -> None:
        kinds = {one.kind for one in found}
        if "background" in kinds:
            for file in querybank.bank_files(self.folder):
                file.unlink()
        if "index" in kinds:
            self.vectors.discard(self.models.active())
        elif "changed files" in kinds:
            with self.store.writing() as writer:
                writer.read_again(path for one in found for path in one.examples)
        else:
            self.store.mend(self._parts().card)
        self.vectors.reset()
        self.models.forget_querybanks()

    def _parts(self) -> Parts:
        model = self.store.model()
        card = None
        if model is not None:
            try:
                card = self.models.token_encoder(self.models.encoder(model)).card.regions
            except ModelError as error:
                log.info("region tokens are not looked at: %s", error)
        return Parts(self.store, self.folder, model, self.vectors, card)
