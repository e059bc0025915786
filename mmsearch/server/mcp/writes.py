"""Tools that change the library or write files: only where a person has allowed it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from mmsearch.library.library import Library
from mmsearch.server.export import copied
from mmsearch.server.mcp.answers import ExportAnswer, Left, TaggedAnswer, readable
from mmsearch.server.mcp.cancelling import go_on
from mmsearch.server.mcp.errors import tool_error, unknown_photo
from mmsearch.types import Photo

MOST_IDS = 1000
MOST_TAGS = 50

Ids = Annotated[list[int], Field(description="Ids of photos, from a search.", min_length=1, max_length=MOST_IDS)]

Tags = Annotated[
    Sequence[Annotated[str, Field(max_length=400)]],
    Field(description="Tags, each a word or a few, without commas.", max_length=MOST_TAGS),
]


class WriteTools:
    """Each method is a tool: its name, its text and its types are what agents see."""

    def __init__(self, library: Library) -> None:
        self._library = library

    def tag_photos(self, ids: Ids, add: Tags = (), remove: Tags = ()) -> TaggedAnswer:
        """Give photos tags that the person wants, or take such tags away. Photos keep them until they are taken away.

        Tags are found by words and by tag:. Without add and remove the library's own tagger gives words of its
        vocabulary, where it has not looked at the photos yet; those cannot be taken one by one. No file is changed.
        """
        photos = self._photos(ids)
        paths = [photo.path for photo in photos]
        done: dict[str, int] = {"tagged": 0}
        if add or remove:
            change = self._library.tag_photos(photos, add=add, remove=remove)
            done |= {"changed": change.changed, "added": change.added, "removed": change.removed}
        else:
            done["tagged"] = self._library.tag(paths, progress=go_on).tagged
        counts = list(self._library.tags(paths).items())[:MOST_TAGS]
        return TaggedAnswer(**done, tags={readable(tag): count for tag, count in counts})

    def export_photos(
        self,
        ids: Ids,
        folder: Annotated[
            str,
            Field(
                description="Absolute path of a folder of this machine; made if absent.", min_length=1, max_length=1000
            ),
        ],
    ) -> ExportAnswer:
        """Copy the files of photos into a folder on this machine. No file is replaced, changed or deleted."""
        photos = self._photos(ids)
        done = copied(photos, self._target(folder))
        failed = [Left(id=one["id"], reason=readable(one["reason"])) for one in done["skipped"]]
        return ExportAnswer(folder=readable(done["folder"], 1000), copied=done["copied"], failed=failed)

    def _photos(self, ids: list[int]) -> list[Photo]:
        model = self._library.store.model()
        wanted = list(dict.fromkeys(number for number in ids))
        known = {} if model is None else self._library.store.photos_by_id([n for n in wanted if 0 < n < 2**63], model)
        for number in wanted:
            if number not in known:
                raise unknown_photo(number)
        return [known[number] for number in wanted]

    def _target(self, folder: str) -> Path:
        """The folder with its links followed.  Raises ToolError for one that nothing should be copied into."""
        path = os.path.expanduser(folder)
        if "\0" in folder or not os.path.isabs(path):
            raise tool_error("bad-folder", "the folder must be an absolute path, such as /home/me/chosen")
        target = os.path.realpath(path)
        if os.path.lexists(target) and not os.path.isdir(target):
            raise tool_error("bad-folder", "there is a file of that name; choose another folder")
        for taken, why in [
            (str(self._library.folder.resolve()), "the library's own folder"),
            *(
                (root, "a folder that is indexed: copies would be found beside their originals")
                for root in self._library.store.roots()
            ),
        ]:
            if target == taken or target.startswith(taken.rstrip(os.sep) + os.sep):
                raise tool_error("bad-folder", f"that is in {why}; choose another one")
        return Path(target)
