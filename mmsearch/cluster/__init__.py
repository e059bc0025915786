"""A library past one machine: an index run whose pictures are read and encoded on many (Ray).

``worker.py`` is what runs on other machines, ``claims.py`` keeps two of them from encoding the same content,
``encoding.py`` hands files out and takes what was made of them, ``session.py`` connects to Ray, and ``indexing.py`` is
what people call.
"""
