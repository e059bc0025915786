"""Small pictures that differ, made by code, and a folder that changes as folders of people do."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 96


def draw(file: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (4, 4, 3), np.uint8)
    picture = Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    picture.save(file, quality=85) if file.suffix == ".jpg" else picture.save(file)


class Folder:
    """Photos in a few folders; each change draws numbers that were not drawn before, the first one ``first``."""

    def __init__(self, place: Path, seed: int = 0, first: int = 0) -> None:
        self.place, self._random, self._next = place, random.Random(seed), first
        place.mkdir(parents=True, exist_ok=True)

    def files(self) -> list[Path]:
        return sorted(path for path in self.place.rglob("*") if path.is_file())

    def grow(self, count: int) -> None:
        for _ in range(count):
            folder = self.place / f"day {self._random.randrange(6)}"
            folder.mkdir(exist_ok=True)
            draw(folder / f"{self._next:06d}{self._random.choice(['.jpg', '.png'])}", self._next)
            self._next += 1

    def change(self, most: int) -> None:
        """Some files are renamed, copied, edited, deleted or damaged; of more than ``most`` the oldest go."""
        for file in self._random.sample(self.files(), min(6, len(self.files()))):
            act = self._random.randrange(5)
            if act == 0:
                file.rename(file.with_name(f"renamed-{self._next}{file.suffix}"))
            elif act == 1:
                shutil.copy(file, file.with_name(f"copy-{self._next}{file.suffix}"))
            elif act == 2:
                draw(file, self._next)
            elif act == 3:
                file.unlink()
            else:
                file.write_bytes(file.read_bytes()[:60])
            self._next += 1
        oldest = sorted(self.files(), key=lambda path: path.stat().st_mtime_ns)
        for file in oldest[: max(0, len(oldest) - most)]:
            file.unlink()
