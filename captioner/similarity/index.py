"""An index: the records of an output and their vectors, in memory and as a file."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import pyarrow

from captioner import shards
from captioner.similarity import tables
from captioner.similarity.images import ROWS, Images
from captioner.similarity.nearest import Vectors

FORMAT = 1

_TEXTS = pyarrow.schema({"text": pyarrow.string()})
_VECTORS = "vectors/"


class Record(Protocol):
    """A record of captions or of features."""

    id: str
    uri: str


class Index:
    """The records of some data files.

    Args:
        by: what they are compared by.
        vectors: of the items, which are texts or features.
        rows: of the records, as `ROWS` says.
        texts: of the items; none where they are features.
        files: the names of the data files, in the order in which they were added.
        settings: the fingerprint by which it was told which records hold.
    """

    def __init__(
        self,
        by: str,
        vectors: Vectors,
        rows: pyarrow.Table | None = None,
        texts: pyarrow.ChunkedArray | None = None,
        files: Iterable[str] = (),
        settings: str = "",
    ) -> None:
        self.by = by
        self.vectors = vectors
        self.texts = _TEXTS.empty_table()["text"] if texts is None else texts
        self.files = [*files]
        self.settings = settings
        self._rows = ROWS.empty_table() if rows is None else rows

    def __len__(self) -> int:
        """How many records there are, whether they hold or not."""
        return len(self._rows)

    @property
    def version(self) -> str:
        """Indexes of one output and version number their items alike."""
        return shards.fingerprint({"settings": self.settings, "files": self.files})

    def images(self) -> Images:
        """The images that hold."""
        return Images(self._rows, self.texts)

    def add(self, file: str, records: Sequence[Record], items: Iterable[int]) -> None:
        """Add the records of a file, with the items that their vectors are those of."""
        task = shards.task_of(file)
        rows = [
            {"id": one.id, "uri": one.uri, "task": task, "item": item, "holds": False}
            for one, item in zip(records, items, strict=True)
        ]
        added = pyarrow.Table.from_pylist(rows, ROWS)
        self._rows = pyarrow.concat_tables([self._rows, added])
        self.files.append(file)

    def hold(self, newest: dict[str, str], settings: str) -> None:
        """Say which records hold: those of the task that has the newest outcome of their id.

        Args:
            newest, settings: see `shards.newest`.
        """
        columns = (self._rows[name].to_pylist() for name in ("id", "task"))
        pairs = zip(*columns, strict=True)
        held = pyarrow.array([newest.get(id) == task for id, task in pairs], pyarrow.bool_())
        place = ROWS.get_field_index("holds")
        self._rows = self._rows.set_column(place, ROWS.field(place), held)
        self.settings = settings

    def to_bytes(self) -> bytes:
        """The index as a zip: ``index.json``, and its tables and vectors."""
        about = {"format": FORMAT, "by": self.by, "settings": self.settings, "files": self.files}
        members = {
            "index.json": json.dumps(about).encode(),
            "rows": tables.write(self._rows),
            "texts": tables.write(pyarrow.table([self.texts], _TEXTS)),
            **{_VECTORS + name: part for name, part in self.vectors.parts().items()},
        }
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes, load: Callable[[dict[str, bytes]], Vectors]) -> Index:
        """The inverse of `to_bytes`.

        Raises:
            ValueError, KeyError, RuntimeError, zipfile.BadZipFile: it is of another version, or not
                as it was written.
        """
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        about = json.loads(members.pop("index.json"))
        if about["format"] != FORMAT:
            raise ValueError("an index of another version")
        rows, texts = (tables.read(members.pop(name)) for name in ("rows", "texts"))
        vectors = load({name.removeprefix(_VECTORS): part for name, part in members.items()})
        rest = (about[name] for name in ("files", "settings"))
        return cls(about["by"], vectors, rows.cast(ROWS), texts["text"], *rest)
