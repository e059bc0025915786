"""A picture as the bytes that make a terminal draw it at the cursor, which stays where it is or is put back.

textual-image would do this too.  But with it nothing is seen in Kitty before 0.28 (Debian 12 has 0.26), and it asks the
terminal when it is imported, for Python below 3.12 without waiting for the answer.  term-image wants Pillow below 11.
"""

from __future__ import annotations

import base64
import io
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image


def kitty(image: Image, columns: int, rows: int) -> str:
    """By Kitty's graphics protocol (https://sw.kovidgoyal.net/kitty/graphics-protocol), over so many characters.

    Ghostty, Konsole and WezTerm know it too.
    """
    data = _encoded(image, "PNG")
    parts = [data[start : start + 4096] for start in range(0, len(data), 4096)]  # no more is allowed at once
    first = f"a=T,f=100,c={columns},r={rows},C=1,"  # transmit a PNG and show it; the cursor stays
    return "".join(
        f"\x1b_G{'' if number else first}q=2,m={int(number < len(parts) - 1)};{part}\x1b\\"
        for number, part in enumerate(parts)
    )


def iterm2(image: Image, columns: int, rows: int) -> str:
    """As iTerm2 takes it (https://iterm2.com/documentation-images.html), over so many characters."""
    data = _encoded(image, "JPEG")
    size = f"width={columns};height={rows};preserveAspectRatio=0"
    return f"\x1b]1337;File=inline=1;{size}:{data}\x07"


def sixel(image: Image, width: int, height: int) -> str:
    """As Sixel (VT3xx Graphics Programming, DEC EK-VT3XX-GP, chapter 14), in so many pixels and 255 colours."""
    import numpy as np
    from PIL import Image

    scaled = image.resize((width, height))
    found = scaled.quantize(palette=scaled.quantize(255), dither=Image.Dither.FLOYDSTEINBERG)
    palette = np.asarray(found.getpalette()).reshape(-1, 3)
    colours = np.asarray(found)  # (height, width)
    parts = [f'\x1bPq"1;1;{width};{height}']  # square pixels
    for colour in np.unique(colours):
        red, green, blue = np.round(palette[colour] * (100 / 255)).astype(int)
        parts.append(f"#{colour};2;{red};{green};{blue}")
    for top in range(0, height, 6):  # a character is a column of six pixels of one colour
        band = colours[top : top + 6]
        bits = 1 << np.arange(len(band), dtype=np.uint8)[:, None]
        for colour in np.unique(band):
            columns = ((band == colour) * bits).sum(axis=0, dtype=np.uint8) + 63
            runs = re.sub(r"(.)\1{3,}", lambda run: f"!{len(run[0])}{run[1]}", columns.tobytes().decode("ascii"))
            parts.append(f"#{colour}{runs}$")  # $: back to the left for the next colour
        parts.append("-")  # down to the next six
    return "".join([*parts, "\x1b\\"])


def _encoded(image: Image, kind: str) -> str:
    file = io.BytesIO()
    image.save(file, kind, quality=85)
    return base64.b64encode(file.getvalue()).decode("ascii")
