"""Generators of the other modality: from a text to what a picture of it would be, in the space that search works in."""
