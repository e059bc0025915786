"""A decoder from region tokens to pixels: what a rough sketch of a picture, seen or imagined, is drawn with."""
