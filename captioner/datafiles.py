"""What a job's output holds: features or captions, told from the names of its files."""

from __future__ import annotations

from captioner import captions, shards, storage
from captioner.errors import UserError
from captioner.shards import DataFormat

FEATURES = "tfrecord.gz"


def format_of(extension: str) -> DataFormat:
    """How data files whose names end with `extension` are written and read.

    Raises:
        UserError: no job makes such files.
    """
    if extension == FEATURES:
        from captioner import records  # with TensorFlow, which captions do without

        return records.DATA_FORMAT
    if extension not in captions.FORMATS:
        raise UserError(f"'{extension}' is the ending of no file that captioner makes")
    return captions.FORMATS[extension]


def extension_of(output: str) -> str:
    """What the names of the data files of a job's output end with.

    Raises:
        UserError: it is no output of a job, or has no finished shard.
    """
    first = next(storage.walk(storage.join(output, "shards")), None)
    if first is None:
        raise UserError(f"{output}: there is no output of `captioner extract` or `caption` here")
    return shards.extension_of(first.uri)
