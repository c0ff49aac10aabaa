"""What both jobs share: the graph of plan, execute and commit, and running it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.ml.inference.base import RunInference
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from captioner import storage
from captioner.shards import Spool, Summary
from pipelines import options
from pipelines.committing import Commit, check_failures, read_manifest
from pipelines.inference import HalvingHandler
from pipelines.items import Item
from pipelines.job import Job
from pipelines.planning import Plan
from pipelines.reading import ReadTasks
from pipelines.watching import watching
from pipelines.writing import WriteShards


@dataclasses.dataclass(frozen=True)
class Work:
    """What one kind of job does to its images.

    Args:
        handler: runs the network.
        image_size: side in pixels that images are resized to.
        open_spool: opens a local data file.
        to_record: an item with a result as a record's bytes.
        finish: called with the manifest and all shards' summaries at the commit.
    """

    handler: HalvingHandler
    image_size: int
    open_spool: Callable[[str], Spool]
    to_record: Callable[[Item], bytes]
    finish: Callable[[dict[str, Any], list[Summary]], None] | None = None


def build(
    pipeline: beam.Pipeline, job: Job, work: Work, asked: dict[str, Any], raises: bool = False
) -> None:
    """Plan, execute and commit, as a graph. For `raises` see `Commit`.

    Reading, inference and writing are one fused stage: nothing but tasks enters it, nothing but
    summaries leaves it, and there is no side input, state or timer within.
    """
    plan = pipeline | "Plan" >> Plan(job)
    made = (
        plan["tasks"]
        | "Read and decode" >> beam.ParDo(ReadTasks(job, work.image_size))
        | "Infer" >> RunInference(work.handler)
        | "Write shards" >> beam.ParDo(WriteShards(job, work.open_spool, work.to_record))
    )
    parts = {"made": made, "kept": plan["kept"], "tally": plan["tally"]}
    parts | "Commit" >> Commit(job, asked, work.finish, raises)


def run(
    job: Job, work: Work, asked: dict[str, Any], flags: Sequence[str], wait: bool = True
) -> dict[str, Any] | None:
    """Run the job to its end.

    Args:
        flags: Beam's own.
        wait: whether to wait for an engine that can do without this process.

    Returns:
        The run's manifest; None while there is none, where nobody waited for it.

    Raises:
        TooManyFailures: see `JobOptions.max_failures`.
    """
    chosen = options.parse(flags)
    job.begin(asked)
    with watching(job):
        is_over = run_pipeline(job, work, asked, chosen, wait)
    if not is_over and not storage.exists(job.manifest):
        return None
    manifest = read_manifest(job.manifest)
    check_failures(manifest)
    return manifest


def run_pipeline(
    job: Job, work: Work, asked: dict[str, Any], chosen: PipelineOptions, wait: bool
) -> bool:
    """Run the job's pipeline; whether it was waited for, and came to its end."""
    chosen.view_as(StandardOptions).no_wait_until_finish = not wait
    pipeline = beam.Pipeline(options=chosen)
    if type(pipeline.runner).__name__ == "DataflowRunner":
        from pipelines.dataflow import following

        build(pipeline, job, work, asked, raises=not wait)
        return following.run(pipeline, chosen, wait)
    with pipeline:
        build(pipeline, job, work, asked, raises=not wait)
    return wait
