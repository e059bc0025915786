"""How to ask, in a page that a model reads before its first search; a test runs each example."""

from __future__ import annotations

EXAMPLES = (
    "a dog on a beach",
    '"red car" -"police car"',
    "beach -people",
    "is there a dog?",
    "how many children are there?",
    "sunset date:2024-06..2024-08",
    "date:last-summer city:paris",
    "taken:2019 camera:canon lens:50mm",
    'words:"exit only"',
    "person:anna,bob rating:>=4",
    'album:holidays in:"/home/me/photos/2024"',
    "near:48.85,2.35,10km",
    "tag:dog type:jpeg orientation:portrait",
    "width:>=3000 height:<4000 megapixels:>12 size:>5MB",
    "iso:>=1600 aperture:<2.8 exposure:>1s focal:24..70mm",
    "has:text has:gps label:red",
    "a goal type:video length:>1:30 at:<10min",
    "2:dog +1:beach",
    "type:png sort:date:asc",
)

HELP = f"""\
A query is what a person would type: words that describe the picture, conditions, or both.

Words are found by meaning ("a dog on a beach"), and where they are written: in file names, descriptions, captions,
tags and text in pictures. Put no quotes around a plain description. Several things at once: join them with +
("dog +beach"). Leave out what must not be seen with a dash (-people, -"red car"). words:"…" wants exactly these
words to be written. A question ("is there a dog?", "how many cars?") is answered for each hit. A number before a
term is its weight (2:dog).

Conditions are met or not, and all must be met; commas between values mean "or"; a dash before one turns it round.
Values with spaces or commas go in double quotes. What nobody knows of a picture, it is not.
date: 2024, 2024-06, 2024-06-15, 2024-06..2024-08, >2023, june-2021, last-summer, 3-days-ago
taken: the same, by the camera alone
camera: lens: city: person: label: album: contain the text; in: at or below a folder; tag: is this tag
type: photo, video, audio, document, jpeg, png, heif, raw, mp4 and others
orientation: portrait, landscape, square; has: text, gps
cluster: is in the clusters of the map with this number or these words in their names
near: latitude,longitude,distance
width: height: megapixels: size: rating: iso: aperture: exposure: focal: a number, >n, <n, a..b
length: of a film, fps: codec:; at: only moments there in films: >30s, 1:20..2:00
sort: date, name, size, score; sort:date:asc is the oldest first. Without words the newest come first.

Examples:
{chr(10).join(EXAMPLES)}

Photos are named by their ids here, never by paths. list_facets tells which years, cameras, folders, tags, people and
towns there are, with the condition for each. A hit of low relevance, such as 0.1, mostly does not fit.
"""
