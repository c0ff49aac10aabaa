"""What images there are: ids and where each is, of a directory or of a list."""

from __future__ import annotations

import os
import unicodedata
import urllib.parse
from collections.abc import Iterator

from captioner import storage
from captioner.errors import UserError
from captioner.storage import Entry

# id: uri, stamp, source, group; see `tasks.Reference`. A plain tuple, which Beam encodes itself.
Listed = tuple[str, tuple[str, str, str, str]]


def as_listed(entry: Entry, root: str) -> Listed:
    """A file below `root`, by its id."""
    return image_id(entry.uri, root), (entry.uri, entry.stamp, "", entry.checksum)


def image_id(uri: str, root: str) -> str:
    """The path of `uri` relative to `root`, in Unicode's NFC, the same wherever the files are.

    Bytes that aren't UTF-8 are written as ``\\xff``.
    """
    if uri.startswith("file://"):
        path = urllib.parse.unquote_to_bytes(uri.removeprefix("file://"))
        uri, root = path.decode(errors="backslashreplace"), os.path.abspath(root)
    return unicodedata.normalize("NFC", uri.removeprefix(root.rstrip("/") + "/"))


def in_list(file: str) -> Iterator[Listed]:
    """The images that a list names, one path or URI a line; the line is the id.

    Relative paths start at the list's own directory. What is not there is kept: it fails when read.
    """
    directory = file.rpartition("/")[0] or "."
    try:
        lines = storage.read_bytes(file).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: is neither a directory nor a list in UTF-8") from error
    for line in dict.fromkeys(lines):
        if name := line.strip():
            rooted = name.startswith("/") or "://" in name
            uri = name if rooted else storage.join(directory, name)
            entry = storage.entry(uri)
            stamp, checksum = (entry.stamp, entry.checksum) if entry else ("", "")
            yield unicodedata.normalize("NFC", name), (uri, stamp, "", checksum)
