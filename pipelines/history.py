"""PLAN: what earlier runs left, finished and unfinished.

An engine that lost its plan plans again, in the midst of the run. What the run itself has done by
then is nothing that was done before it: its tasks are to be the same ones again.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput

from captioner import shards, storage
from captioner.errors import UserError
from captioner.tasks import Task, shared_id
from pipelines.job import Job

# shared id: id, run, stamp, failure, permanent, split
Done = tuple[str, tuple[str, str, str, str, bool, str]]


@dataclasses.dataclass(eq=False)
class ReadFinished(beam.PTransform):
    """The finished shards of earlier runs that were made with the same settings.

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
            >> beam.ParDo(ReadIndex(self.job)).with_outputs("summaries", main="outcomes")
        )
        return {"outcomes": found.outcomes, "summaries": found.summaries}


@dataclasses.dataclass(eq=False)
class ReadIndex(beam.DoFn):
    """A finished shard's outcomes, and under the tag "summaries" its summary's line.

    Args:
        job: shards of other settings are passed over: for this job they don't count as done.
    """

    job: Job

    def process(self, index: str) -> Iterator[Done | TaggedOutput]:
        summary, outcomes = shards.read_index(index)
        if summary.settings != self.job.settings or summary.run == self.job.run:
            return
        yield TaggedOutput("summaries", summary.to_line())
        for outcome in outcomes:
            state = (outcome.stamp, outcome.failure, outcome.permanent, summary.split)
            yield shared_id(outcome.id), (outcome.id, summary.run, *state)


@dataclasses.dataclass(eq=False)
class ReadSuspects(beam.PTransform):
    """The images of tasks that earlier runs began and never finished: (id, True)."""

    job: Job

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection:
        return (
            begin
            | beam.Create([self.job.output])
            | "List unfinished" >> beam.FlatMap(shards.unfinished)
            | "One attempt each" >> beam.Reshuffle()
            | "Read their images" >> beam.FlatMap(suspects, self.job.plan)
        )


def suspects(attempt: str, plan: str) -> Iterator[tuple[str, bool]]:
    """The images of the task that a mark in ``attempts/`` is about, unless it is one of `plan`."""
    # Whoever tidies up old plans loses no image by it.
    with contextlib.suppress(UserError, FileNotFoundError):
        task = storage.read_bytes(attempt).decode()
        if not task.startswith(storage.join(plan, "")):
            for reference in Task.read(task).references:
                yield shared_id(reference.id), True
