"""Vector indexes: one small protocol, one file per kind of index."""

import logging

_loader = logging.getLogger("faiss.loader")  # tells at INFO which of its builds it tries
if _loader.level == logging.NOTSET:
    _loader.setLevel(logging.WARNING)
