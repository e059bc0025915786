"""Words that say nothing about a picture: they are not looked up, unless a query has no others.

Articles, prepositions, conjunctions, pronouns and auxiliary verbs of English; of German, French, Spanish and Italian
the commonest ones that are no English words for things.
"""

from __future__ import annotations

_WORDS = """
a about above across after against all along am among an and any are around as at be because been before
behind being below beneath beside between both but by can could did do does doing down during each every few
for from had has have having he her here hers him his how i if in inside into is it its just me might more
most my near no nor not of off on onto or other our out outside over own per s shall she should so some such t
than that the their them then there these they this those through to too toward towards under until up upon us
very was we were what when where which while who whom whose why will with within without would you your auf
aus bei beim das dem den der des ein eine einem einen einer eines im ist mit nach oder und vom von vor zu zum
zur au aux avec dans de du en est et la le les par pour sur un une al con del el las lo los por que una unas
uno unos y alla che da dal della di gli il nel nella
"""
STOP_WORDS = frozenset(_WORDS.split())
