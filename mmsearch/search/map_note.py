"""What to say of the map that clusters are asked of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mmsearch.query.model import AnyOf, Clustered, Condition
from mmsearch.store.types import StoredModel
from mmsearch.types import Note

if TYPE_CHECKING:
    from mmsearch.store.protocol import Store


def of_map(store: Store, model: StoredModel, conditions: Sequence[Condition]) -> tuple[Note, ...]:
    """A note where clusters are asked for and pictures came or went after the map was made; else nothing."""
    fits = [condition.fits for condition in conditions]
    each = [one for fit in fits for one in (fit.fits if isinstance(fit, AnyOf) else (fit,))]
    if not any(isinstance(one, Clustered) for one in each):
        return ()
    from mmsearch.store import kept_map
    from mmsearch.store.open import MAPS

    generation = store.generation()
    file = kept_map.newest(store.folder / MAPS, store.identity(), model.fingerprint, generation)
    if file is None or kept_map.generation_of(file) == generation:
        return ()
    text = "the map is older than the library: photos that came since are in no cluster until it is made again"
    return (Note(text, "map-older", made=kept_map.generation_of(file), now=generation),)
