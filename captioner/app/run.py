"""A run's outcomes in memory, to be searched: some hundred bytes an image."""

from __future__ import annotations

import dataclasses
import itertools
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow
from pyarrow import compute

from captioner import captions, storage
from captioner.captions import CaptionRecord
from captioner.errors import UserError
from captioner.reporting.survey import confidence, failures
from captioner.shards import Failure

_COLUMNS = pyarrow.schema(
    {
        "id": pyarrow.string(),
        "uri": pyarrow.string(),
        "text": pyarrow.string(),
        "reason": pyarrow.string(),
        "sure": pyarrow.float32(),
        "task": pyarrow.string(),
    }
)
_CHUNK = 1 << 14  # rows that are Python's at a time


@dataclasses.dataclass(frozen=True)
class Entry:
    """How one image ended.

    Attributes:
        id, uri: as in its record.
        text: its caption, or the message of its failure.
        reason: of its failure; empty where there is a caption.
        sure: the caption's `confidence`.
    """

    id: str
    uri: str
    text: str
    reason: str
    sure: float


@dataclasses.dataclass(frozen=True)
class Query:
    """What is looked for.

    Args:
        text: in the id or the caption (or the message); letters' case doesn't matter.
        reason: of failures; empty for captions.
        sure: the least and the most of a caption's `Entry.sure`.
    """

    text: str = ""
    reason: str = ""
    sure: tuple[float, float] = (0.0, 1.0)


class Run:
    """What became of the images of a caption output, sorted by id.

    Args:
        output: the directory.

    Attributes:
        reasons: how many images ended so, "" with a caption.

    Raises:
        UserError: it is no caption output, or not as it was written.
    """

    def __init__(self, output: str) -> None:
        newest = captions.outcomes(output)
        self._output = output
        self._extension = captions.format_of(output)
        try:
            batches = [*_batches(_rows(output, newest))]
        except (pyarrow.ArrowException, TypeError, ValueError, OverflowError) as error:
            raise UserError(f"{output}: not as it was written; see `captioner verify`") from error
        table = pyarrow.Table.from_batches(batches, _COLUMNS).sort_by("id")
        for name in ("reason", "task"):
            place = table.schema.get_field_index(name)
            table = table.set_column(place, name, table[name].dictionary_encode())
        self._table = table.combine_chunks()
        counts = compute.value_counts(self._table["reason"]).to_pylist()
        self.reasons = Counter({found["values"]: found["counts"] for found in counts})

    def find(self, query: Query) -> np.ndarray:
        """The rows that answer a query: int64 [found], in the order of their ids."""
        table = self._table
        wanted = compute.equal(table["reason"], query.reason)
        if query.text:
            text = unicodedata.normalize("NFC", query.text)
            named, said = (
                compute.match_substring(table[name], text, ignore_case=True)
                for name in ("id", "text")
            )
            wanted = compute.and_(wanted, compute.or_(named, said))
        if not query.reason and query.sure != (0.0, 1.0):
            least, most = (pyarrow.scalar(bound, pyarrow.float32()) for bound in query.sure)
            sure = compute.greater_equal(table["sure"], least)
            sure = compute.and_(sure, compute.less_equal(table["sure"], most))
            wanted = compute.and_(wanted, sure)
        return np.flatnonzero(wanted.to_numpy())

    def entries(self, rows: np.ndarray) -> list[Entry]:
        """What is in rows."""
        found = self._table.drop_columns("task").take(pyarrow.array(rows, pyarrow.int64()))
        return [Entry(**values) for values in found.to_pylist()]

    def entry(self, id: str) -> Entry | None:
        """How an image ended; None where it is none of the run's."""
        row = self._row(id)
        return None if row < 0 else self.entries(np.array([row]))[0]

    def record(self, id: str) -> CaptionRecord | None:
        """An image's caption, read from its shard; None where it has none.

        Raises:
            UserError: the shard is not as it was written.
        """
        row = self._row(id)
        if row < 0 or self._table["reason"][row].as_py():
            return None
        name = f"{self._table['task'][row].as_py()}.{self._extension}"
        records = captions.records_in(storage.join(self._output, "shards", name))
        return next((record for record in records if record.id == id), None)

    def _row(self, id: str) -> int:
        """The row of an image; below 0 where it is none of the run's."""
        return compute.index(self._table["id"], pyarrow.scalar(id, pyarrow.string())).as_py()


def _rows(output: str, newest: dict[str, str]) -> Iterator[dict[str, Any]]:
    for record in captions.standing(output, newest):
        yield _row(record, record.caption, "", confidence(record), newest)
    for failure in failures(output, newest):
        yield _row(failure, failure.message, failure.reason, 0.0, newest)


def _row(
    of: CaptionRecord | Failure, text: str, reason: str, sure: float, newest: dict[str, str]
) -> dict[str, Any]:
    found = {"id": of.id, "uri": of.uri, "text": text, "reason": reason}
    # A name may hold what no encoding has.
    texts = {name: text.encode(errors="backslashreplace").decode() for name, text in found.items()}
    return {**texts, "sure": sure, "task": newest[of.id]}


def _batches(rows: Iterable[dict[str, Any]]) -> Iterator[pyarrow.RecordBatch]:
    rows = iter(rows)
    while chunk := [*itertools.islice(rows, _CHUNK)]:
        yield pyarrow.RecordBatch.from_pylist(chunk, _COLUMNS)
