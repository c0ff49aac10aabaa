"""Where a member is in its archive, and how a URI says so."""

from __future__ import annotations

import unicodedata
import urllib.parse
from typing import NamedTuple


class Inside(NamedTuple):
    """A file in an archive: its name, the stamp of its version, and what is needed to read it.

    The name None stands for what can't be listed.
    """

    name: str | None
    stamp: str
    place: dict[str, str | int]


def uri_of(source: str, inside: Inside) -> str:
    """The member's URI; the archive's own for what has neither name nor place."""
    fields = inside.place if inside.name is None else {"name": inside.name, **inside.place}
    fragment = urllib.parse.urlencode(fields, safe="/")
    return f"{source}#{fragment}" if fragment else source


def place_of(uri: str, source: str) -> dict[str, str]:
    """The inverse of `uri_of`: name and place."""
    fragment = uri.removeprefix(source).removeprefix("#")
    return dict(urllib.parse.parse_qsl(fragment, keep_blank_values=True))


def archive_id(id: str, uri: str, source: str) -> str:
    """The id of the archive that a member is in."""
    name = place_of(uri, source).get("name")
    return id if name is None else id.removesuffix("/" + unicodedata.normalize("NFC", name))


def as_text(name: bytes) -> str:
    """A name as text: bytes that aren't UTF-8 are written as ``\\xff``."""
    return name.decode(errors="backslashreplace")
