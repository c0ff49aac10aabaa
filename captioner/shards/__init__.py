"""Finished shards: the output directory of a job, and how a shard gets into it.

An output directory (of features or of captions) holds::

    shards/TASK.EXTENSION        the data; a shard is finished the moment this is there
    index/TASK-DATA.jsonl        first line: the shard's `Summary`; then one `Outcome` an image
    failures/TASK-DATA.jsonl     the images that failed, where there are any
    attempts/TASK                mark of a task that was begun: the URI of its plan
    plans/RUN/                   which images make up which task of a run
    runs/RUN.json                what a run was asked and what it did

A shard is named after its task; its files are only ever created, never changed: failures first, as
the index has their checksum, and the data last. So two attempts at a task, or two runs at once, end
with one shard, and a killed run leaves whole shards only. DATA is the beginning of the data's
SHA-256: attempts that end differently (a read that failed once) publish an index each, and the name
says which of them belongs to the data that was first.
"""

from captioner.shards.history import (
    UNREADABLE,
    finished,
    latest_manifest,
    latest_settings,
    newest,
    newest_of,
    other_than,
    outcomes_sha256,
    parse_index,
    read_failures,
    read_index,
    read_summary,
    recount,
    unfinished,
)
from captioner.shards.manifest import manifest_of
from captioner.shards.names import (
    extension_of,
    index_name,
    is_index,
    sha256_of,
    task_of,
    task_of_index,
)
from captioner.shards.summary import (
    COMPACT,
    FORMAT,
    MANIFEST_FORMAT,
    Failure,
    Outcome,
    Summary,
    fingerprint,
    new_run,
)
from captioner.shards.writer import DataFormat, ShardWriter, Spool

__all__ = [
    "COMPACT",
    "DataFormat",
    "FORMAT",
    "Failure",
    "MANIFEST_FORMAT",
    "Outcome",
    "ShardWriter",
    "Spool",
    "Summary",
    "UNREADABLE",
    "extension_of",
    "fingerprint",
    "finished",
    "index_name",
    "is_index",
    "latest_manifest",
    "latest_settings",
    "manifest_of",
    "new_run",
    "newest",
    "newest_of",
    "other_than",
    "outcomes_sha256",
    "parse_index",
    "read_failures",
    "read_index",
    "read_summary",
    "recount",
    "sha256_of",
    "task_of",
    "task_of_index",
    "unfinished",
]
