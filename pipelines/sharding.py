"""PLAN, last step: what is to do, as tasks that are written down."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
from collections.abc import Iterable

import apache_beam as beam
from apache_beam.pvalue import AsSingleton

from captioner import images, storage, videos
from captioner.tasks import Reference, Task
from pipelines.job import Job
from pipelines.mapping import MapInThreads

# A job makes so many shards, if they have so many images.
_SHARDS = 16
_LEAST = 32


class GroupByContent(beam.PTransform):
    """References (as tuples) whose group is the hash of their bytes: they are read for it."""

    def expand(self, references: beam.PCollection) -> beam.PCollection:
        return references | "Hash content" >> MapInThreads(with_content, least=4, per_core=2)


def with_content(reference: tuple) -> tuple:
    """A reference grouped by its bytes, unless it is in an archive or can't be read."""
    known = Reference(*reference)
    if known.source:
        return reference
    with contextlib.suppress(OSError, ValueError):
        data = storage.read_bytes(known.uri, images.LIMITS.bytes + 1)
        return tuple(known._replace(group=images.content_hash(data)))
    return reference


@dataclasses.dataclass(eq=False)
class WritePlan(beam.PTransform):
    """References (as tuples) to the URIs of written tasks, spread over the workers.

    A task once written is the same at each attempt of everything behind it, although engines
    compute lost inputs anew, listings change and reshuffles are random.
    """

    job: Job

    def expand(self, references: beam.PCollection) -> beam.PCollection:
        counts = (
            references
            | "Kind of each" >> beam.Map(kind_of)
            | "Count kinds" >> beam.combiners.Count.PerElement()
            | "All counts" >> beam.combiners.ToDict()
            | "Fix shard counts" >> beam.Map(fix_shard_counts, self.job)
        )
        return (
            references
            | "Choose shard" >> beam.Map(with_shard, AsSingleton(counts))
            | "Group by shard" >> beam.GroupByKey()
            | "Write tasks" >> beam.Map(write_task, self.job)
            | "Spread tasks" >> beam.Reshuffle()
        )


def kind_of(reference: tuple) -> str:
    """What kind of shard a reference goes to: one of its split, and not with those it may kill."""
    known = Reference(*reference)
    return (known.split or "images") + ("-suspects" if known.suspect else "")


def fix_shard_counts(images: dict[str, int], job: Job) -> dict[str, int]:
    """How many shards each kind gets, written down so that a second attempt agrees.

    A small job makes smaller shards than it may: of what it does something is to be seen, and is
    kept when it is stopped, long before its end.
    """
    file = storage.join(job.plan, "counts.json")
    total = sum(images.values())
    size = min(job.options.shard_size, max(_LEAST, total // _SHARDS))
    counts = {kind: math.ceil(number / size) for kind, number in images.items()}
    values = {"images": total, "shards": counts}
    storage.create(file, json.dumps(values).encode())
    return json.loads(storage.read_bytes(file))["shards"]


def with_shard(reference: tuple, counts: dict[str, int]) -> tuple[str, tuple]:
    """A reference under its shard's name: by its group's hash, else by its id's.

    Films are many and short: their groups share shards, as images do, and archives' don't.
    """
    known, kind = Reference(*reference), kind_of(reference)
    if known.source and not videos.is_video(known.source):
        return f"{kind}-{_hash(known.group):016x}", reference
    # A kind that a second listing brought is unknown to the counts: one shard takes it.
    number = _hash(known.group or known.id) % counts.get(kind, 1)
    return f"{kind}-{number:05d}", reference


def write_task(grouped: tuple[str, Iterable[tuple]], job: Job) -> str:
    """Publish the task of a shard; the URI of the one that was published first."""
    shard, references = grouped
    task = Task.of((Reference(*reference) for reference in references), job.settings)
    return task.publish(job.plan, shard)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])
