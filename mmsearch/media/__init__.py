"""From a folder to upright pixels: ``find`` walks, ``decode`` reads a file, ``exif`` says when and where it was taken.

A file or folder that cannot be read is a value or an ``ImageError``, never a crash.  Pillow is imported by ``decode``
and ``exif`` only.
"""

METADATA_VERSION = 3  # grows when more is read from a picture than before: pictures with a lower one are read again
