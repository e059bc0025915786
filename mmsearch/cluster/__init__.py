"""A library past one machine: an index run whose pictures are read and encoded on many (Ray).

``worker.py`` is what runs on other machines, ``claims.py`` keeps two of them from encoding the same content,
``handing_out.py`` gives them files and brings back what they make, ``encoding.py`` takes it for an index run,
``session.py`` connects to Ray, and ``indexing.py`` is what people call.  ``moving.py`` copies a library to servers and
back, ``verification.py`` compares two, ``reconciling.py`` compares a store with the engine of its vectors.
"""
