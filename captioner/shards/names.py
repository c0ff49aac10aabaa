"""The names of a shard's files, and what they tell."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from captioner import storage


def sha256_of(file: Path) -> str:
    """The SHA-256 of a local file's content, hexadecimal."""
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def index_name(task: str, sha256: str) -> str:
    """The name of a shard's index, and of its failures, told from the content of its data."""
    return f"{task}-{sha256[:16]}.jsonl"


_INDEX = re.compile(r".+-[0-9a-f]{16}\.jsonl")


def is_index(name: str) -> bool:
    """Whether a file is called as an index is, or the failures beside it."""
    return _INDEX.fullmatch(name) is not None


def task_of(data: str) -> str:
    """The task that a data file is named after."""
    return storage.name(data).partition(".")[0]


def extension_of(data: str) -> str:
    """What a data file's name ends with, after its task and a dot."""
    return storage.name(data).partition(".")[2]


def task_of_index(index: str) -> str:
    """The task that an index is named after."""
    return storage.name(index).rpartition("-")[0]
