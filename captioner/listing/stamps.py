"""Stamps from what an inventory says of a file."""

from __future__ import annotations

import base64
import re
from typing import Any

_SIZES = ("size", "sizebytes", "bytes", "contentlength")
# What tells the content, as a store's own listing does: the first that there is.
_CHECKSUMS = {"s3": ("etag",), "gs": ("md5hash", "md5", "crc32c")}
_OTHER_CHECKSUMS = ("md5hash", "md5", "sha256", "checksum", "crc32c")
# What tells one version from another.
_VERSIONS = (
    "etag",
    "generation",
    "versionid",
    "updated",
    "lastmodified",
    "lastmodifieddate",
    "modified",
    "mtime",
)


def stamp_of(uri: str, row: dict[str, Any]) -> tuple[str, str]:
    """A file's stamp and checksum, see `Entry`; empty where the row doesn't tell.

    They are those of the store's listing where the row has the checksum that this has. A row
    without a size is not an inventory's: its date may be the picture's. Such a file is looked up:
    by that stamp it would be passed over for ever, however it changes.

    Args:
        row: what is said of the file, by columns as `rows.read` names them.
    """
    size = _first(row, _SIZES)
    if not size:
        return "", ""
    scheme = uri.partition("://")[0]
    own = _first(row, _CHECKSUMS.get(scheme, ()))
    if checksum := own or _first(row, _OTHER_CHECKSUMS):
        stamp = f"{size}:{_as_listed(checksum, scheme)}"
        return stamp, stamp
    version = _first(row, _VERSIONS)
    return (f"{size}:{version}" if version else ""), ""


def _first(row: dict[str, Any], columns: tuple[str, ...]) -> str:
    return next((str(row[column]) for column in columns if row.get(column) not in (None, "")), "")


def _as_listed(checksum: str, scheme: str) -> str:
    """A checksum as the store's listing writes it: Google's in base 64, Amazon's without quotes."""
    if scheme == "gs" and re.fullmatch("[0-9a-fA-F]{32}", checksum):
        return base64.b64encode(bytes.fromhex(checksum)).decode()
    return checksum.strip('"')
