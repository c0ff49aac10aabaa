"""The images of an index, in columns: some hundred bytes an image."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow
from pyarrow import compute

# A row for each record of each shard. `item` is the number of the vector that is compared: that of
# a text, which many images may share, or of an image's features. Where a newer outcome of the id
# stands before a record, it doesn't hold.
ROWS = pyarrow.schema(
    {
        "id": pyarrow.string(),
        "uri": pyarrow.string(),
        "task": pyarrow.string(),
        "item": pyarrow.int32(),
        "holds": pyarrow.bool_(),
    }
)


class Image(NamedTuple):
    """An image and what is said of it, if anything."""

    id: str
    uri: str
    caption: str


class Images:
    """The images that hold.

    Args:
        rows: of the schema `ROWS`.
        texts: by item; empty where items are no texts.
    """

    def __init__(self, rows: pyarrow.Table, texts: pyarrow.ChunkedArray) -> None:
        held = rows.filter(rows["holds"]).select(["id", "uri", "item"])
        self._rows = held.sort_by([("item", "ascending"), ("id", "ascending")]).combine_chunks()
        self._items = self._rows["item"].to_numpy()
        self._texts = texts

    def __len__(self) -> int:
        """How many images there are."""
        return len(self._items)

    def items(self, first: int = 0, behind: int | None = None) -> np.ndarray:
        """The items of the images of some rows, or of all, each once and in their order: int32."""
        return np.unique(self._items[first:behind])

    def row(self, column: str, value: str) -> int | None:
        """The first row with a value in its column "id" or "uri"; None where there is none."""
        try:
            wanted = pyarrow.scalar(value, pyarrow.string())
        except UnicodeEncodeError:  # half a character, as a command line may have
            return None
        row = compute.index(self._rows[column], wanted).as_py()
        return None if row < 0 else row

    def item(self, row: int) -> np.ndarray:
        """The item of a row: int32 [1]."""
        return self._items[row : row + 1]

    def of(self, item: int, most: int) -> list[Image]:
        """The images of an item, at most so many, in the order of their ids."""
        first = int(np.searchsorted(self._items, item))
        return self.between(first, first + most, item)

    def between(self, first: int, behind: int, item: int) -> list[Image]:
        """The images of an item in some rows, in the order of their ids; there is one or more."""
        start, end = np.searchsorted(self._items, [item, item + 1])
        return self._images(max(first, start), min(behind, end))

    def find(self, column: str, value: str) -> Image | None:
        """The first image with a value in its column "id" or "uri"; None where there is none."""
        row = self.row(column, value)
        return None if row is None else self._images(row, row + 1)[0]

    def _images(self, first: int, behind: int) -> list[Image]:
        """Those of some rows of one item."""
        caption = self._texts[self._items[first]].as_py() if len(self._texts) else ""
        rows = self._rows.slice(first, behind - first)
        ids, uris = (rows[name].to_pylist() for name in ("id", "uri"))
        return [Image(id, uri, caption) for id, uri in zip(ids, uris, strict=True)]
