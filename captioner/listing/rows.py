"""The rows of a list, whatever its format, read as they come: a list may be larger than memory."""

from __future__ import annotations

import csv
import gzip
import itertools
import re
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from captioner import storage
from captioner.corpora.rows import mistake, parse_json
from captioner.errors import UserError

Numbered = tuple[int, dict[str, Any]]  # the line, and what it says by column

_READ_AHEAD = 8 << 20  # bytes
_MAX_LINE = 1 << 20  # bytes; a file with longer ones is no list

_KINDS = {
    "csv": "csv",
    "json": "jsonl",
    "jsonl": "jsonl",
    "ndjson": "jsonl",
    "parquet": "parquet",
    "tsv": "csv",
    "txt": "text",
}
# A first line that may be a heading with one of these is one, in a file whose name doesn't tell.
_IN_HEADING = {"image", "uri", "url", "path", "file", "filename", "bucket"}


def read(file: str, columns: tuple[str, ...] = ()) -> Iterator[Numbered]:
    """The rows of a list, each by its columns, whose names are in lower case and letters only.

    Args:
        columns: those of a CSV file without a heading.

    Raises:
        UserError: the file, or a line of it, can't be read.
    """
    kind = _kind_by_name(file)
    if kind == "parquet":
        return _parquet(file)
    lines = _lines(file)
    first = next(lines, "")
    lines = itertools.chain([first], lines)
    if columns:
        return _csv(file, lines, columns)
    read_kind = {"text": _text, "jsonl": _jsonl, "csv": _csv}[kind or _kind_by_content(first)]
    return read_kind(file, lines)


def simple(column: str) -> str:
    """A column's name without what spellings differ in: ``Last Modified`` is ``lastmodified``."""
    return re.sub(r"[^a-z0-9]", "", column.lower())


def _kind_by_name(file: str) -> str | None:
    name = re.sub(r"\.gz\Z", "", file.lower())
    return _KINDS.get(name.rpartition("/")[2].rpartition(".")[2])


def _kind_by_content(first: str) -> str:
    if first.startswith("{"):
        return "jsonl"
    fields = {simple(field) for field in re.split("[,;\t]", first)}
    return "csv" if len(fields) > 1 and fields & _IN_HEADING else "text"


def _text(file: str, lines: Iterable[str]) -> Iterator[Numbered]:
    for number, line in enumerate(lines, start=1):
        name = line.removesuffix("\n").removesuffix("\r")
        if name.strip():
            yield number, {"image": name}


def _jsonl(file: str, lines: Iterable[str]) -> Iterator[Numbered]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        value = parse_json(line.strip(), file, number)
        if isinstance(value, dict):
            yield number, {simple(column): field for column, field in value.items()}
        elif isinstance(value, str):
            yield number, {"image": value}
        else:
            raise mistake(file, number, "expected an object or a text")


def _csv(file: str, lines: Iterator[str], columns: tuple[str, ...] = ()) -> Iterator[Numbered]:
    first = next(lines, "")
    delimiter = "," if columns else max(",;\t", key=first.count)
    reader = csv.reader(itertools.chain([first], lines), delimiter=delimiter, strict=True)
    try:
        names = [simple(column) for column in columns or next(reader, [])]
        for fields in filter(None, reader):
            if len(fields) != len(names):
                what = f"{len(fields)} fields, not {len(names)}: quote names with {delimiter!r}"
                raise mistake(file, reader.line_num, what)
            yield reader.line_num, dict(zip(names, fields, strict=True))
    except csv.Error as error:
        raise mistake(file, reader.line_num, f"isn't CSV: {error}") from error


def _parquet(file: str) -> Iterator[Numbered]:
    from pyarrow import ArrowException, parquet

    with storage.open(file, _READ_AHEAD) as opened:
        try:
            batches = parquet.ParquetFile(opened).iter_batches(batch_size=10_000)
            rows = (row for batch in batches for row in batch.to_pylist())
            for number, row in enumerate(rows, start=1):
                yield number, {simple(column): field for column, field in row.items()}
        except ArrowException as error:
            raise UserError(f"{file}: isn't Parquet: {error}") from error


def _lines(file: str) -> Iterator[str]:
    r"""The lines, with the ``\n`` that ends each; no other character does."""
    with storage.open(file, _READ_AHEAD) as opened:
        number = 0
        try:
            for number, line in enumerate(_raw_lines(opened), start=1):
                if len(line) > _MAX_LINE:
                    raise mistake(file, number, "is too long: this is not a list of images")
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise mistake(file, number, "isn't UTF-8: save the list as UTF-8") from error
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise mistake(file, number + 1, f"the compressed list is broken: {error}") from error


def _raw_lines(opened: BinaryIO) -> Iterator[bytes]:
    is_gzip = opened.read(2) == b"\x1f\x8b"
    opened.seek(0)
    lines = gzip.GzipFile(fileobj=opened) if is_gzip else opened
    return iter(lambda: lines.readline(_MAX_LINE + 1), b"")
