"""What a listing says of one file, whichever store it comes from."""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """One listed file.

    `stamp` tells one version of the file's content from another without reading it: its size with
    the store's checksum, or with the modification time (nanoseconds) where there is none.
    `checksum` is the same for files with the same bytes, or empty where the store has none.
    """

    uri: str
    size: int
    stamp: str
    checksum: str = ""
