"""A library in other programs' terms: notebooks and tables, retrievers, data sets.

Nothing here is imported by an ordinary query, and each file imports its program only where it is asked for.  The room
stands before ``library``, whose methods hand themselves over: what is wanted of a library is a protocol here.
"""
