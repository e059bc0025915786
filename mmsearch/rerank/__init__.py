"""A second, slower look at the best candidates of a search: words and regions meet, one pair at a time.

The first search compares one vector of the text with one vector of each photo.  Here the words of the query attend to
the regions of each candidate and the regions to the words (``attention.py``), and a summary of either side is fused
into one vector (``fusion.py``) from which a score can be read.
"""
