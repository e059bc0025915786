"""What a library answers with: hits and photos that notebooks show, and that become tables.

Light: whatever makes HTML and tables is imported when it is asked for.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmsearch.library.checked import checked
from mmsearch.types import PathLike, Photo, Progress, SearchResult

if TYPE_CHECKING:
    import datasets
    import pandas
    import polars
    import pyarrow

    from mmsearch.integrations.torch_data import PhotoDataset
    from mmsearch.manage.web_dataset import WebDatasetReport
    from mmsearch.query.model import Condition
    from mmsearch.store.protocol import Store
    from mmsearch.store.types import StoredModel

BLOCK = 1000  # pictures whose files are read at once


class Table(ABC):
    """Rows that become a table of other programs.

    Columns are named in ``integrations/tables.py``; each has its type where there are no rows too.  All raise
    MMSearchError with the code ``needs-tables`` where a package is not installed.
    """

    @abstractmethod
    def _columns(self) -> dict[str, type]: ...

    @abstractmethod
    def _rows(self) -> Iterator[list[dict[str, Any]]]:
        """Blocks of rows."""

    def to_batches(self) -> Iterator[pyarrow.RecordBatch]:
        """Arrow record batches, one a block, so that not all rows are in memory at once."""
        from mmsearch.integrations.tables import batches

        return batches(self._columns(), self._rows())

    def to_arrow(self) -> pyarrow.Table:
        """All rows as an Arrow table."""
        from mmsearch.integrations.tables import arrow_table

        return arrow_table(self._columns(), self._rows())

    def to_pandas(self) -> pandas.DataFrame:
        """All rows as a pandas frame."""
        from mmsearch.integrations.needed import needed

        needed("pandas", "tables", "a pandas frame")
        return self.to_arrow().to_pandas()

    def to_polars(self) -> polars.DataFrame:
        """All rows as a polars frame."""
        from mmsearch.integrations.needed import needed

        frames = needed("polars", "tables", "a polars frame")
        frame: polars.DataFrame = frames.from_arrow(self.to_arrow())
        return frame

    def to_datasets(self) -> datasets.Dataset:
        """All rows as a data set of Hugging Face, with the pictures as ``image``: opened when they are looked at.

        Raises MMSearchError with the code ``needs-datasets`` too.
        """
        from mmsearch.integrations.data_sets import hugging_face

        return hugging_face(self.to_arrow())


@dataclass(frozen=True, eq=False, repr=False)
class LibraryResult(SearchResult, Table):
    """A ``SearchResult`` that a notebook shows with pictures, and that becomes a table."""

    max_megapixels: float = 200.0  # of a picture that is opened to be shown

    def __repr__(self) -> str:
        shown = ", ".join(f"{one.name}={getattr(self, one.name)!r}" for one in fields(SearchResult))
        return f"SearchResult({shown})"

    def _repr_html_(self) -> str:
        """The best 20 hits with small pictures, and how many more there are."""
        from mmsearch.integrations import gallery

        return gallery.of_hits(self.hits, self.notes, self.next_offset is not None, self.max_megapixels)

    def _columns(self) -> dict[str, type]:
        from mmsearch.integrations.tables import HIT

        return HIT

    def _rows(self) -> Iterator[list[dict[str, Any]]]:
        from mmsearch.integrations.tables import hit_row

        for start in range(0, len(self.hits), BLOCK):
            yield [hit_row(hit) for hit in self.hits[start : start + BLOCK]]


class Items(Table):
    """The photos of a library that meet conditions, read when they are asked for, a block at a time.

    Iterating gives each ``Photo``, in the order in which pictures became known; ``len`` counts them.  Each look is at
    the library as it is then.
    """

    def __init__(
        self,
        store: Store,
        model: StoredModel | None,
        within: Sequence[str],
        conditions: Sequence[Condition],
        max_megapixels: float,
    ) -> None:
        """``model`` is None where nothing was indexed yet; paths of ``within`` are spelled as the store spells them."""
        self._store, self._model, self._max_megapixels = store, model, max_megapixels
        self._within, self._conditions = tuple(within), tuple(conditions)

    def __len__(self) -> int:
        if self._model is None:
            return 0
        return len(self._store.overview(self._model, self._within, self._conditions).ids)

    def __iter__(self) -> Iterator[Photo]:
        for block in self.blocks():
            yield from block

    def blocks(self) -> Iterator[list[Photo]]:
        """The photos in lists: those of at most 1,000 pictures each."""
        if self._model is None:
            return
        ids = self._store.searchable(self._model, self._within, self._conditions)
        for part in np.array_split(ids, range(BLOCK, len(ids), BLOCK)):
            own: list[int] = part.tolist()
            found = self._store.photos(own, self._within, self._conditions)
            if files := [photo for number in own for photo in found.get(number, ())]:
                yield files

    def to_torch(self, transform: Callable[[Any], Any] | None = None, side: int = 512) -> PhotoDataset:
        """A map-style data set of torch: pairs of a picture and its captions, stored and by people.

        A picture is a Pillow image, upright in RGB, its longer side at most ``side`` pixels, or what ``transform``
        makes of it.  One that cannot be read is an ImageError when it is asked for.  Raises MMSearchError
        (``needs-torch``).
        """
        from mmsearch.integrations.data_sets import torch_data_set

        return torch_data_set(list(self), transform, side, self._max_megapixels)

    @checked
    def to_webdataset(
        self, folder: PathLike, *, max_side: int | None = None, progress: Callable[[Progress], None] | None = None
    ) -> WebDatasetReport:
        """Write photos and captions into a new or empty folder as WebDataset shards, the data of open_clip's training.

        JPEG, PNG and WebP files are written as they are, unless their longer side has more than ``max_side`` pixels,
        others as upright JPEGs.  The caption is what people wrote, else what a model said.  Films and documents are
        skipped, and so is what cannot be read.  ``progress`` is called after each block of photos.  Raises
        TransferError, ArgumentError.
        """
        from mmsearch.manage.web_dataset import write_shards

        return write_shards(self.blocks(), len(self), Path(folder), max_side, self._max_megapixels, progress)

    def __repr__(self) -> str:
        return f"<{len(self):,} photos of {self._store.place}>"

    def _repr_html_(self) -> str:
        """The first 20 photos with small pictures, and how many more there are."""
        from mmsearch.integrations import gallery

        return gallery.of_photos(next(self.blocks(), []), len(self), self._max_megapixels)

    def _columns(self) -> dict[str, type]:
        from mmsearch.integrations.tables import PHOTO

        return PHOTO

    def _rows(self) -> Iterator[list[dict[str, Any]]]:
        from mmsearch.integrations.tables import photo_row

        for block in self.blocks():
            yield [photo_row(photo) for photo in block]
