"""Caption records: what a line of caption output holds, and reading a run's output back.

``captions.schema.json`` beside this module is the specification; every line validates against it.
A Parquet file holds the same: a column for each property, and the version once more as ``schema``
in the file's metadata. The column ``attention`` is there only where some record has it.
"""

from __future__ import annotations

import dataclasses
import functools
import gzip
import json
from collections.abc import Iterator
from typing import Any

import pyarrow
from pyarrow import parquet

from captioner import shards, storage
from captioner.errors import UserError
from captioner.shards import DataFormat

FORMAT = 1

_CANDIDATE = pyarrow.struct(
    [
        pyarrow.field("caption", pyarrow.string(), nullable=False),
        pyarrow.field("log_probability", pyarrow.float64(), nullable=False),
    ]
)
_COLUMNS = {
    "schema": pyarrow.int32(),
    "id": pyarrow.string(),
    "uri": pyarrow.string(),
    "content_hash": pyarrow.string(),
    "width": pyarrow.int32(),
    "height": pyarrow.int32(),
    "caption": pyarrow.string(),
    "log_probability": pyarrow.float64(),
    "candidates": pyarrow.list_(pyarrow.field("element", _CANDIDATE, nullable=False)),
    "language": pyarrow.string(),
    "made_by": pyarrow.string(),
    "run": pyarrow.string(),
}
_PARQUET_SCHEMA = pyarrow.schema(
    [pyarrow.field(name, kind, nullable=False) for name, kind in _COLUMNS.items()],
    metadata={"schema": str(FORMAT)},
)

# Only in files of which a record has it.
_ATTENTION = pyarrow.field(
    "attention", pyarrow.list_(pyarrow.list_(pyarrow.list_(pyarrow.float64())))
)


@dataclasses.dataclass(frozen=True)
class CaptionRecord:
    """One image's caption.

    Args:
        id, uri, content_hash: as in the feature records; the hash is SHA-256, hexadecimal.
        width, height: of the upright image in pixels.
        caption: the best candidate.
        log_probability: natural logarithm of the caption's probability, summed over its words.
        candidates: (caption, log-probability), best first.
        language: of the caption, as a BCP 47 tag, or empty where the model knows none.
        made_by: fingerprint of the model and the search settings.
        run: the run that made it. Of several records of one id, that of the latest run holds.
        attention: where the model looked for each word of the caption: the weights of the grid's
            places, by word, row and column. None where it wasn't asked for.
    """

    id: str
    uri: str
    content_hash: str
    width: int
    height: int
    caption: str
    log_probability: float
    candidates: tuple[tuple[str, float], ...]
    language: str
    made_by: str
    run: str
    attention: list[list[list[float]]] | None = None

    def to_line(self) -> str:
        """The record as one line of JSON."""
        values = dataclasses.asdict(self)
        values["candidates"] = [said(*candidate) for candidate in self.candidates]
        return _line({"schema": FORMAT, **_without_none(values)})

    @classmethod
    def from_line(cls, line: str | bytes) -> CaptionRecord:
        """The inverse of `to_line`."""
        values: dict[str, Any] = json.loads(line)
        if values.pop("schema") != FORMAT:
            raise UserError("captions made by another version of captioner; caption again")
        candidates = values.pop("candidates")
        pairs = tuple((found["caption"], found["log_probability"]) for found in candidates)
        return cls(candidates=pairs, **values)


def said(caption: str, log_probability: float) -> dict[str, Any]:
    """A caption, or a candidate, and how probable it is, by the names that a record has."""
    return {"caption": caption, "log_probability": log_probability}


class _GzipSpool(gzip.GzipFile):
    """A gzip file without name and time: its bytes, like its checksum, tell the content only."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "wb")
        super().__init__(filename="", mode="wb", fileobj=self._file, mtime=0)

    def close(self) -> None:
        super().close()
        self._file.close()


class _ParquetSpool:
    """A Parquet file of the lines that are written to it. It keeps one shard in memory."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._rows: list[dict[str, Any]] = []

    def write(self, line: bytes) -> None:
        self._rows.append(json.loads(line))

    def close(self) -> None:
        schema = _PARQUET_SCHEMA
        if any("attention" in row for row in self._rows):
            schema = schema.append(_ATTENTION)
        table = pyarrow.Table.from_pylist(self._rows, schema)
        parquet.write_table(table, self._path, compression="zstd")


def _read_lines(path: str) -> Iterator[bytes]:
    with open(path, "rb") as file:
        yield from file


def _read_gzip(path: str) -> Iterator[bytes]:
    with gzip.open(path) as file:
        yield from file


def _read_parquet(path: str) -> Iterator[bytes]:
    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches():
            for row in batch.to_pylist():
                yield _line(_without_none(row)).encode()


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    """A record's values, of which the attention alone may be missing."""
    return {name: value for name, value in values.items() if value is not None}


def _line(values: dict[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False) + "\n"


def _id_of(line: bytes) -> str:
    return CaptionRecord.from_line(line).id


# By what the names of data files end with. Whatever the format, a record's bytes are its line.
FORMATS = {
    "jsonl": DataFormat(functools.partial(open, mode="wb"), _read_lines, _id_of),
    "jsonl.gz": DataFormat(_GzipSpool, _read_gzip, _id_of),
    "parquet": DataFormat(_ParquetSpool, _read_parquet, _id_of),
}


def read(output: str) -> Iterator[CaptionRecord]:
    """The caption of each image that has one; see `outcomes` for which, and for errors."""
    return standing(output, outcomes(output))


def standing(output: str, newest: dict[str, str]) -> Iterator[CaptionRecord]:
    """The captions of an output that are what its `outcomes` name."""
    for entry in storage.walk(storage.join(output, "shards")):
        task = shards.task_of(entry.uri)
        for record in records_in(entry.uri):
            if newest.get(record.id) == task:
                yield record


def records_in(file: str) -> Iterator[CaptionRecord]:
    """All captions of a data file, also those that newer outcomes stand before.

    Raises:
        UserError: it is not as it was written.
    """
    with storage.local_copy(file) as local:
        try:
            lines = FORMATS[shards.extension_of(file)].read(str(local))
            yield from map(CaptionRecord.from_line, lines)
        except UserError:
            raise
        except Exception as error:  # of gzip, JSON or Arrow
            raise UserError(
                f"{file}: not as it was written ({error}); see `captioner verify`"
            ) from error


def outcomes(output: str) -> dict[str, str]:
    """The task that holds the caption of each image, or its failure.

    Captions by the model and search of the latest run go before others, newer ones before older.

    Raises:
        UserError: `output` is not a caption output.
    """
    check(output)
    return shards.newest(output, shards.latest_settings(output))


def check(output: str) -> None:
    """See that a directory holds captions.

    Raises:
        UserError: it doesn't.
    """
    if format_of(output) is None:
        raise UserError(f"{output}: no captions here; make them with `captioner caption`")


def format_of(output: str) -> str | None:
    """The format of the captions in a directory; None where there are none yet.

    Raises:
        UserError: what is in it are no captions.
    """
    first = next(storage.walk(storage.join(output, "shards")), None)
    if first is None:
        return None
    extension = shards.extension_of(first.uri)
    if extension not in FORMATS:
        raise UserError(f"{output}: no captions here; `captioner caption` makes them elsewhere")
    return extension


def choose_format(output: str, asked: str | None) -> str:
    """The format for new captions: what was asked for, or that of the captions there are.

    Raises:
        UserError: these are not the same, or the directory holds something else than captions.
    """
    present = format_of(output)
    if asked and present and asked != present:
        raise UserError(
            f"{output}: the captions here are {present}; choose another --output, "
            f"or make them {asked} with `captioner compact {output} NEW --format {asked}`"
        )
    return asked or present or "jsonl"
