"""Photos as a data set of torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch.utils.data import Dataset

from mmsearch.errors import ImageError
from mmsearch.media.filesystem import open_regular
from mmsearch.media.part_picture import upright_part


class PhotoDataset(Dataset[tuple[Any, list[str]]]):
    """Pictures with what is written about them, by their place; it goes to the workers of a ``DataLoader`` whole."""

    def __init__(
        self,
        paths: Sequence[str],
        captions: Sequence[list[str]],
        transform: Callable[[Any], Any] | None,
        side: int,
        max_megapixels: float,
    ) -> None:
        self.paths, self.captions = list(paths), list(captions)
        self._transform, self._side, self._max_megapixels = transform, side, max_megapixels

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, place: int) -> tuple[Any, list[str]]:
        """The picture, upright in RGB, and its captions.  Raises ImageError where it cannot be read."""
        path = self.paths[place]
        try:
            with open_regular(path) as file:
                picture = upright_part(file, path, None, self._side, self._max_megapixels, enlarge=False)
        except OSError as error:
            raise ImageError(path, f"cannot be read: {error.strerror or error}") from error
        return (picture if self._transform is None else self._transform(picture)), self.captions[place]
