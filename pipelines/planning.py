"""PLAN: from what there is and what is done already to tasks that are written down.

The small records of this part may be shuffled: tuples of plain values, which Beam encodes itself.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.pvalue import AsSingleton, TaggedOutput

from captioner import corpora, shards, storage
from captioner.tasks import Reference, Task
from pipelines.listing import ListImages

Done = tuple[str, tuple[str, str, str, bool, str]]  # id: run, stamp, failure, permanent, split


@dataclasses.dataclass(frozen=True)
class Job:
    """What all parts of a job need to know.

    Args:
        input: a directory or prefix of images, a list of them, or a directory of feature shards.
        output: where the shards go.
        run: this run's id; later runs sort behind earlier ones.
        settings: fingerprint of what decides the results.
        extension: of the data files.
        shard_size: images a shard, about.
        from_features: whether `input` is a directory of feature shards.
        captions, captions_format, splits: a captioned collection, see `corpora.read`; or None.
    """

    input: str
    output: str
    run: str
    settings: str
    extension: str
    shard_size: int = 256
    from_features: bool = False
    captions: str | None = None
    captions_format: str | None = None
    splits: str | None = None

    @property
    def plan(self) -> str:
        """Directory of the run's plan."""
        return storage.join(self.output, "plans", self.run)


@dataclasses.dataclass(eq=False)
class Plan(beam.PTransform):
    """The run's tasks, each as the URI where it is written down.

    Tags of the result: "tasks"; "kept", the lines of `shards.Summary` of shards that were there
    before; "tally", pairs of a name and a number.

    Args:
        job: what to plan.
    """

    job: Job

    def expand(self, begin: beam.pvalue.PBegin) -> dict[str, beam.PCollection]:
        finished = begin | "Read what is finished" >> ReadFinished(self.job)
        known = {
            "listed": begin | "List images" >> ListImages(self.job.input, self.job.from_features),
            "done": finished["outcomes"],
            "captions": begin | "Read captions" >> ReadCaptions(self.job),
        }
        decided = (
            known
            | "Join on id" >> beam.CoGroupByKey()
            | "Decide" >> beam.ParDo(Decide(self.job)).with_outputs("tally", main="to_do")
        )
        tasks = decided.to_do | "Write the plan" >> WritePlan(self.job)
        tally = decided.tally | "Tally" >> beam.CombinePerKey(sum)
        return {"tasks": tasks, "kept": finished["summaries"], "tally": tally}


@dataclasses.dataclass(eq=False)
class ReadFinished(beam.PTransform):
    """The finished shards of the job's output that were made with the same settings.

    Tags of the result: "summaries", their `shards.Summary` lines; "outcomes", their images, `Done`.
    """

    job: Job

    def expand(self, begin: beam.pvalue.PBegin) -> dict[str, beam.PCollection]:
        found = (
            begin
            | beam.Create([self.job.output])
            | "List finished shards" >> beam.FlatMap(shards.finished)
            | "One index each" >> beam.Reshuffle()
            | "Read indexes"
            >> beam.ParDo(ReadIndex(self.job.settings)).with_outputs("summaries", main="outcomes")
        )
        return {"outcomes": found.outcomes, "summaries": found.summaries}


@dataclasses.dataclass(eq=False)
class ReadIndex(beam.DoFn):
    """A finished shard's outcomes, and under the tag "summaries" its summary's line.

    Args:
        settings: shards of other settings are passed over: for this job they don't count as done.
    """

    settings: str

    def process(self, index: str) -> Iterator[Done | TaggedOutput]:
        summary, outcomes = shards.read_index(index)
        if summary.settings != self.settings:
            return
        yield TaggedOutput("summaries", summary.to_line())
        for outcome in outcomes:
            state = (outcome.stamp, outcome.failure, outcome.permanent, summary.split)
            yield outcome.id, (summary.run, *state)


@dataclasses.dataclass(eq=False)
class ReadCaptions(beam.PTransform):
    """The collection's captions: id to (split, captions). Empty where the job has none."""

    job: Job

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection:
        files = [self.job.captions] if self.job.captions else []
        return (
            begin
            | beam.Create(files, reshuffle=False)
            | "Read collection"
            >> beam.FlatMap(captions_by_id, self.job.captions_format, self.job.splits)
        )


def captions_by_id(
    captions: str, captions_format: str | None, splits: str | None
) -> Iterator[tuple[str, tuple[str, tuple[str, ...]]]]:
    """A collection's (split, captions) by id."""
    for image in corpora.read(captions, captions_format, splits):
        yield image.id, (image.split, image.captions)


class Decide(beam.DoFn):
    """What is still to do of one id: its `Reference`, or nothing.

    Under the tag "tally" goes what became of it: "seen" and, if it is not done again, "skipped" or
    "failed_before"; "absent" if it is no longer there; "current:SPLIT" if it has a result already.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._to_do = Metrics.counter("captioner", "images_to_do")

    def process(
        self, joined: tuple[str, dict[str, Iterable[Any]]]
    ) -> Iterator[tuple | TaggedOutput]:
        id, known = joined
        reference = reference_of(id, known["listed"], known["captions"], self._job)
        before = max(known["done"], default=None)
        for name in tally_of(reference, before):
            yield TaggedOutput("tally", (name, 1))
        if reference and not still_holds(reference, before):
            self._to_do.inc()
            yield tuple(reference._replace(after=before[0] if before else ""))


def reference_of(
    id: str, listed: Iterable[tuple], captions: Iterable[tuple], job: Job
) -> Reference | None:
    """The image to do for an id, from what was listed and captioned under it."""
    # Features come once from each run that made them; their stamp begins with the run.
    uri, stamp, source, group = max(listed, key=lambda found: found[1], default=("", "", "", ""))
    if not uri:
        return None
    if job.captions is None:
        return Reference(id, uri, stamp, source, group)
    split, texts = next(iter(captions), ("", ()))
    version = shards.fingerprint({"split": split, "captions": texts})
    return Reference(id, uri, f"{stamp}:{version}", source, group, split, captions=tuple(texts))


def still_holds(reference: Reference, before: tuple | None) -> bool:
    """Whether an earlier outcome of an image stands, so that there is nothing to do."""
    if before is None:
        return False
    _, stamp, failure, permanent, _ = before
    return stamp == reference.stamp and (not failure or permanent)


def tally_of(reference: Reference | None, before: tuple | None) -> Iterator[str]:
    """The names under which an id is counted, see `Decide`."""
    if reference:
        yield "seen"
    if before and (reference is None or still_holds(reference, before)):
        failure, split = before[2], before[4]
        if reference is None:
            yield "absent"
        else:
            yield "failed_before" if failure else "skipped"
        if not failure:
            yield f"current:{split}"


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
            | "Split of each" >> beam.Map(split_of)
            | "Count splits" >> beam.combiners.Count.PerElement()
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


def split_of(reference: tuple) -> str:
    """The split of a reference."""
    return Reference(*reference).split


def fix_shard_counts(images: dict[str, int], job: Job) -> dict[str, int]:
    """How many shards each split gets, written down so that a second attempt agrees."""
    file = storage.join(job.plan, "counts.json")
    counts = {split: math.ceil(number / job.shard_size) for split, number in images.items()}
    values = {"images": sum(images.values()), "shards": counts}
    storage.create(file, json.dumps(values).encode())
    return json.loads(storage.read_bytes(file))["shards"]


def with_shard(reference: tuple, counts: dict[str, int]) -> tuple[str, tuple]:
    """A reference under its shard's name: by its group's hash, else by its id's."""
    known = Reference(*reference)
    split = known.split or "images"
    if known.source:
        return f"{split}-{_hash(known.group):016x}", reference
    # A split that a second listing brought is unknown to the counts: one shard takes it.
    number = _hash(known.group or known.id) % counts.get(known.split, 1)
    return f"{split}-{number:05d}", reference


def write_task(grouped: tuple[str, Iterable[tuple]], job: Job) -> str:
    """Publish the task of a shard; the URI of the one that was published first."""
    shard, references = grouped
    task = Task.of((Reference(*reference) for reference in references), job.settings)
    return task.publish(job.plan, shard)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])
