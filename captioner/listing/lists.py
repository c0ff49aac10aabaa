"""Lists and inventories: files that name images.

A list is text (a path or URI a line), CSV or TSV with a heading, JSONL or Parquet; text, CSV and
JSONL may be compressed with gzip. A row names its image in a column ``image``, ``uri``, ``url``,
``path``, ``file``, ``filename`` or ``id``, the first of them that it has; or as an object in a
store in ``bucket`` with ``key`` (Amazon's) or ``name`` (Google's). Relative paths start at the
list's own directory. The id is the name as given, in Unicode's NFC.

An inventory is a list that says of each file what a listing of the store would say: its size and a
checksum or a date, in columns called as the stores' own reports call them. Nothing has to be looked
up then, and where it is the store's checksum, nothing is done again when a listing takes the
inventory's place. Amazon's ``manifest.json`` of an S3 Inventory (CSV or Parquet) is one too.
"""

from __future__ import annotations

import json
import os
import re
import unicodedata
import urllib.parse
from collections.abc import Iterator
from typing import Any

from captioner import storage
from captioner.corpora.rows import mistake
from captioner.errors import UserError
from captioner.listing import rows, stamps
from captioner.listing.listed import Listed

# A file of rows; its columns, if it has no heading; the bucket that a row is of that names none.
Part = tuple[str, tuple[str, ...], str]

_NAMES = ("image", "uri", "url", "path", "filepath", "imagepath", "file", "filename", "id")
_ROOTED = re.compile(r"/|[A-Za-z][A-Za-z0-9+.-]*://")


def parts(file: str) -> Iterator[Part]:
    """The files that a list consists of: itself, or those that an S3 Inventory's manifest names.

    Raises:
        UserError: a manifest that isn't one, or whose files are of a kind that isn't read here.
    """
    if storage.name(file) == "manifest.json":
        yield from _inventory(file)
    else:
        yield file, (), ""


def read(part: Part) -> Iterator[Listed]:
    """The images that a part of a list names. The stamps that it doesn't tell are empty.

    Raises:
        UserError: a row can't be read or names no image; with file and line.
    """
    file, columns, bucket = part
    directory = file[: file.rfind("/") + 1]
    for line, row in rows.read(file, columns):
        if columns and "key" in row:  # Amazon's CSV has its keys as in a form of the web
            row["key"] = urllib.parse.unquote_plus(row["key"])
        if not _is_current(row):
            continue
        name = _object(row, bucket) or _name(row)
        if not name:
            raise mistake(file, line, f"names no image in a column {', '.join(_NAMES)}")
        try:
            id, uri = _id_and_uri(name, directory)
        except UnicodeEncodeError:
            raise mistake(file, line, f"{name!r} isn't Unicode text") from None
        stamp, checksum = stamps.stamp_of(uri, row)
        yield id, (uri, stamp, "", checksum)


def _name(row: dict[str, Any]) -> str | None:
    found = (row[column] for column in _NAMES if row.get(column))
    return next((name for name in found if isinstance(name, str)), None)


def _object(row: dict[str, Any], bucket: str) -> str | None:
    """The URI of an object that a store's own report names."""
    bucket = str(row.get("bucket") or bucket)
    key, name = row.get("key"), row.get("name")
    object = key or name
    if not bucket or not (object and isinstance(object, str)):
        return None
    scheme = "" if "://" in bucket else ("s3://" if key else "gs://")
    return storage.join(f"{scheme}{bucket}", object)


def _is_current(row: dict[str, Any]) -> bool:
    """Whether a row is of a file that is there: of no directory, and of no old version."""
    is_old = _says(row, "islatest", "false") or _says(row, "isdeletemarker", "true")
    object = row.get("key") or (row.get("bucket") and row.get("name"))
    return not is_old and not str(object or "").endswith("/")


def _says(row: dict[str, Any], column: str, value: str) -> bool:
    return str(row.get(column, "")).lower() == value


def _id_and_uri(name: str, directory: str) -> tuple[str, str]:
    """The id and the URI of a name in a list in `directory`, which ends with a slash or is empty.

    Raises:
        UnicodeEncodeError: the name isn't text.
    """
    raw = name.encode(errors="surrogateescape")  # Python's own way to write bytes in JSON
    id = unicodedata.normalize("NFC", raw.decode(errors="backslashreplace"))
    is_rooted = _ROOTED.match(name) is not None
    try:
        raw.decode()
    except UnicodeDecodeError:
        path = raw if is_rooted else os.path.abspath(directory).encode() + b"/" + raw
        return id, "file://" + urllib.parse.quote(path)
    if is_rooted:
        return id, name
    if directory.startswith("file://"):
        return id, directory + urllib.parse.quote(name)
    return id, directory + name


def _inventory(file: str) -> Iterator[Part]:
    """The data files of an S3 Inventory.

    The manifest is described in Amazon's "Locating your inventory list".
    """
    try:
        manifest = json.loads(storage.read_bytes(file))
        kind, schema = manifest["fileFormat"], manifest["fileSchema"]
        target = manifest["destinationBucket"].rpartition(":")[2]
        bucket, keys = manifest["sourceBucket"], [found["key"] for found in manifest["files"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{file}: isn't the manifest of an S3 Inventory: {error!r}") from error
    if kind not in ("CSV", "Parquet"):
        raise UserError(f"{file}: is an inventory in {kind}; have Amazon write CSV or Parquet")
    columns = tuple(schema.split(",")) if kind == "CSV" else ()
    yield from ((f"s3://{target}/{key}", columns, bucket) for key in keys)
