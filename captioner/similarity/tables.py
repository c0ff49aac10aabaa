"""Tables as bytes of Parquet."""

from __future__ import annotations

import pyarrow
from pyarrow import parquet


def write(table: pyarrow.Table) -> bytes:
    """A table as Parquet."""
    sink = pyarrow.BufferOutputStream()
    parquet.write_table(table, sink, compression="zstd")
    return sink.getvalue().to_pybytes()


def read(data: bytes) -> pyarrow.Table:
    """The inverse of `write`."""
    return parquet.read_table(pyarrow.BufferReader(data))
