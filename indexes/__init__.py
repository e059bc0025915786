"""Vector indexes: one small protocol, one file per kind of index."""
