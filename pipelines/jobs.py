"""What both jobs share: the graph of plan, execute and commit, and running it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.ml.inference.base import RunInference

from captioner import storage
from captioner.shards import Spool, Summary
from pipelines import options
from pipelines.committing import Commit
from pipelines.inference import HalvingHandler
from pipelines.job import Job
from pipelines.planning import Plan
from pipelines.reading import Item, ReadTasks
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


def build(pipeline: beam.Pipeline, job: Job, work: Work, asked: dict[str, Any]) -> None:
    """Plan, execute and commit, as a graph.

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
    parts | "Commit" >> Commit(job, asked, work.finish)


def run(job: Job, work: Work, asked: dict[str, Any], flags: Sequence[str]) -> dict[str, Any]:
    """Run the job to its end.

    Args:
        flags: Beam's own.

    Returns:
        The run's manifest.
    """
    job.begin(asked)
    with watching(job), beam.Pipeline(options=options.parse(flags)) as pipeline:
        build(pipeline, job, work, asked)
    return json.loads(storage.read_bytes(storage.join(job.output, "runs", f"{job.run}.json")))
