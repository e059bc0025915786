"""Sample photos for ``make demo``: those that come with the scikit-image package.

python -m mmsearch.cli.samples photos
"""

from __future__ import annotations

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

NAMES = (
    "astronaut.png", "brick.png", "camera.png", "chelsea.png", "clock_motion.png", "coffee.png", "coins.png",
    "color.png", "grass.png", "gravel.png", "horse.png", "hubble_deep_field.jpg", "moon.png", "motorcycle_left.png",
    "motorcycle_right.png", "page.png", "retina.jpg", "rocket.jpg",
)  # fmt: skip


def main() -> None:
    """Copy the photos into the folder that is named on the command line."""
    spec = find_spec("skimage")
    if len(sys.argv) != 2 or spec is None or spec.origin is None:
        sys.exit("usage: python -m mmsearch.cli.samples FOLDER (needs: pip install scikit-image)")
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        shutil.copy2(Path(spec.origin).parent / "data" / name, folder / name)
    print(f"{len(NAMES)} sample photos in {folder}", file=sys.stderr)


if __name__ == "__main__":
    main()
