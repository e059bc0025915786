"""What files are, counted: by year, camera, folder, tag, type, person and town."""

from __future__ import annotations

import os
from collections import Counter
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsearch.language.letters import plain
from mmsearch.language.tag_names import folded
from mmsearch.store.facet_values import YEARS, containing, types, up_to
from mmsearch.store.local_clock import nanoseconds
from mmsearch.store.sqlite.attribute_columns import NOTED, UNKNOWN, Columns, Mask, positions_of
from mmsearch.types import Ids


class FacetColumns(Columns):
    """Counts as conditions choose: the count of a value is that of the files that the condition with it leaves.

    So a camera "EOS 5" counts those of an "EOS 50" too, and a folder all that lies below it.
    """

    def facets(self, mask: Mask, most: int) -> dict[str, list[tuple[str, int]]]:
        """By facet its values among these files, the most frequent first, ``most`` and one more if there are more."""
        count = most + 1
        return {
            "year": [(str(year), files) for year, files in self._years(mask).most_common(count)],
            "camera": containing(self._cameras(mask), str.casefold, count),
            "folder": self._folders_above(mask, count),
            "tag": self._tags(mask, count),
            "type": self._types(mask).most_common(count),
            "person": containing(self._people(mask), plain, count),
            "city": containing(self._cities(mask), plain, count),
        }

    def _years(self, mask: Mask) -> Counter[int]:
        """By the clock of the camera, where it says nothing by when the file was written, as ``Date`` has it."""
        taken = self.taken()[mask]
        by_camera = taken != UNKNOWN
        years = taken[by_camera].astype("datetime64[us]").astype("datetime64[Y]").astype(np.int64) + 1970
        written = self._of_file("mtime_ns", np.int64)[mask][~by_camera]
        found = _unique(years)
        if len(written):
            first, last = (datetime.fromtimestamp(time / 1e9).year for time in (written.min(), written.max()))
            begins = range(max(first - 1, YEARS[0]), min(last + 1, YEARS[1]) + 1)
            bounds = np.array([nanoseconds(datetime(year, 1, 1)) for year in begins], np.int64)
            found += _unique(np.searchsorted(bounds, written, side="right") - 1 + begins[0])
        return Counter({year: files for year, files in found.items() if YEARS[0] <= year <= YEARS[1]})

    def _cameras(self, mask: Mask) -> Counter[str]:
        return self._of_contents("camera", mask)

    def _types(self, mask: Mask) -> Counter[str]:
        return types(self._of_contents("format", mask))

    def _of_contents(self, column: str, mask: Mask) -> Counter[str]:
        """A text of the contents, and how many of the files have each."""
        codes, names = self._texts(("codes", column), column, "contents ORDER BY id")
        return _named(codes[self._positions()][mask], names)

    def _cities(self, mask: Mask) -> Counter[str]:
        """What is said beside a file replaces what it says itself."""
        own, names, beside, others = self._said("city")
        codes = np.where(beside >= 0, beside + len(names), own)
        return _named(codes[mask], np.concatenate([names, others]))

    def _people(self, mask: Mask) -> Counter[str]:
        """Of each file all names, a line each; what is said beside it is added to what it says itself."""
        own, names, beside, others = self._said("people")
        found: Counter[str] = Counter()
        width = len(others) + 1
        for pair, files in _unique((own.astype(np.int64) * width + beside + 1)[mask]).items():
            first, second = divmod(pair, width)
            both = [names[first], *others[second - 1 : second]]
            found["\n".join(text for text in both if text)] += files
        return found

    def _said(self, column: str) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
        """What files say, as codes and texts, and what is said beside them: code -1 where nothing is."""
        codes, names = self._texts((NOTED, "codes", column), column, "contents ORDER BY id")
        source = f"sidecars WHERE {column} IS NOT NULL ORDER BY photo_id"
        others, texts = self._texts((NOTED, "codes beside", column), column, source)
        positions, existing = self._beside(source, column)
        beside = np.full(len(self.photos), -1, np.int64)
        beside[positions] = others[existing]
        return codes[self._positions()], names, beside, texts

    def _folders_above(self, mask: Mask, count: int) -> list[tuple[str, int]]:
        """Each folder with photos in it, and those around it up to the one that was indexed; all that lies below."""
        codes, folders = self._folders_of_files()
        files = np.bincount(codes[mask], minlength=len(folders))
        inner, outer = self._around()
        names = self._kept.columns["names of folders above"]
        found = np.bincount(outer, weights=files[inner], minlength=len(names)).astype(np.int64)
        best = _most(found, len(found) if len(found) < 2 * count else 2 * count)
        return sorted(((str(names[code]), int(found[code])) for code in best), key=lambda one: (-one[1], one[0]))[
            :count
        ]

    def _around(self) -> tuple[Ids, Ids]:
        """Pairs of the code of a folder and the code of itself or one around it."""

        def load() -> NDArray[np.int64]:
            _, folders = self._folders_of_files()
            rows = self._connection.exec_driver_sql("SELECT path FROM roots").scalars()
            roots = {os.fsdecode(path) for path in rows}
            codes: dict[str, int] = {}
            pairs = [
                (inner, codes.setdefault(outer, len(codes)))
                for inner, folder in enumerate(folders)
                for outer in (folder, *up_to(folder, roots))
            ]
            self._kept.columns["names of folders above"] = np.array(list(codes), object)
            return np.array(pairs, np.int64).reshape(-1, 2).T

        inner, outer = self._cached("folders above", load)
        return inner, outer

    def _tags(self, mask: Mask, count: int) -> list[tuple[str, int]]:
        """Each tag once, whatever its capitals, as ``Tagged`` takes it; a file with it by a model and a person once."""
        codes, contents = self._tagged_contents()
        files = np.bincount(self.contents_of_files()[mask], minlength=int(contents.max(initial=-1)) + 1)
        own_codes, positions = self._tagged_files()
        names = self._kept.columns["names of tags"]
        found = np.bincount(codes, weights=files[contents], minlength=len(names)).astype(np.int64)
        found += np.bincount(own_codes[mask[positions]], minlength=len(names))
        return [(str(names[code]), int(found[code])) for code in _most(found, count)]

    def _tagged_files(self) -> tuple[Ids, Ids]:
        """Pairs of a tag's code and the position of a file that a person gave it, and that has it by no model."""

        def load() -> NDArray[np.int64]:
            codes, contents = self._tagged_contents()
            names = dict(enumerate(self._kept.columns["names of tags"].tolist()))
            known = {folded(name): code for code, name in names.items()}
            rows = self._connection.exec_driver_sql("SELECT folded, tag, photo_id FROM own_tags ORDER BY folded")
            pairs = []
            for key, tag, photo in rows:
                code = known.setdefault(key, len(names))
                names[code] = tag  # spelled as people do
                pairs.append((code, photo))
            own = np.array(pairs, np.int64).reshape(-1, 2)
            positions, existing = positions_of(own[:, 1], self.photos)
            own_codes, positions = own[existing, 0], positions[existing]
            width = int(max(contents.max(initial=0), self.contents_of_files().max(initial=0))) + 1
            of_model = np.isin(own_codes * width + self.contents_of_files()[positions], codes * width + contents)
            self._kept.columns["names of tags"] = np.array(list(names.values()), object)
            return np.stack([own_codes[~of_model], positions[~of_model]])

        codes, positions = self._cached("own tags", load)
        return codes, positions

    def _tagged_contents(self) -> tuple[Ids, Ids]:
        """Pairs of a tag's code and a content that has it, each once."""

        def load() -> NDArray[np.int64]:
            rows = self._connection.exec_driver_sql(
                "SELECT tag, group_concat(item_id) FROM tags GROUP BY tag ORDER BY tag"
            )
            known, of_items, _ = self._items()
            names: dict[str, tuple[int, str]] = {}
            pairs = [np.zeros((2, 0), np.int64)]
            for tag, joined in rows:
                items = np.fromstring(joined, np.int64, sep=",")
                code, _ = names.setdefault(folded(tag), (len(names), tag))
                positions, existing = positions_of(items, known)
                owned = of_items[positions[existing]]
                pairs.append(np.stack([np.full(len(owned), code), owned]))
            self._kept.columns["names of tags"] = np.array([tag for _, tag in names.values()], object)
            joined_pairs = np.concatenate(pairs, axis=1)
            width = int(joined_pairs[1].max(initial=0)) + 1
            once = np.sort(joined_pairs[0] * width + joined_pairs[1])  # np.unique takes ten times as long
            once = once[np.diff(once, prepend=-1) > 0]
            return np.stack([once // width, once % width])

        codes, contents = self._cached("tags", load)
        return codes, contents


def _unique(values: NDArray[np.int64]) -> Counter[int]:
    numbers, counts = np.unique(values, return_counts=True)
    return Counter(dict(zip(numbers.tolist(), counts.tolist(), strict=True)))


def _named(codes: NDArray[Any], names: NDArray[Any]) -> Counter[str]:
    """How many of these have each text; "" is none."""
    counts = np.bincount(codes, minlength=len(names))
    found: Counter[str] = Counter()
    for code in np.flatnonzero(counts).tolist():
        if names[code]:
            found[names[code]] += int(counts[code])
    return found


def _most(counts: NDArray[np.int64], count: int) -> list[int]:
    """Where the largest are, those above 0, largest first, the earlier of equal ones first."""
    order = np.argsort(-counts, kind="stable")[:count]
    return [int(place) for place in order if counts[place]]
