"""PLAN: from what there is and what is done already to tasks that are written down.

The small records of this part may be shuffled: tuples of plain values, which Beam encodes itself.
"""

from __future__ import annotations

import dataclasses

import apache_beam as beam

from pipelines.collection import ReadCollection
from pipelines.deciding import Decide
from pipelines.history import ReadFinished, ReadSuspects
from pipelines.job import Job
from pipelines.listing import ListImages
from pipelines.sharding import GroupByContent, WritePlan


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
        found = begin | "Find out" >> FindOut(self.job)
        to_do = found["to_do"]
        if self.job.options.dedupe == "content":
            to_do = to_do | "Group by content" >> GroupByContent()
        tasks = to_do | "Write the plan" >> WritePlan(self.job)
        return {"tasks": tasks, "kept": found["kept"], "tally": found["tally"]}


@dataclasses.dataclass(eq=False)
class FindOut(beam.PTransform):
    """What is to do, and what is not; writes nothing.

    Tags of the result: "to_do", each a `Reference` as a tuple; "kept" and "tally" as in `Plan`.

    Args:
        job: what to look at.
    """

    job: Job

    def expand(self, begin: beam.pvalue.PBegin) -> dict[str, beam.PCollection]:
        job = self.job
        finished = begin | "Read what is finished" >> ReadFinished(job)
        images = ListImages(job.input, job.from_features, job.split, job.options.every)
        collection = ReadCollection(job.captions, job.captions_format, job.splits)
        known = {
            "listed": begin | "List images" >> images,
            "done": finished["outcomes"],
            "captions": begin | "Read captions" >> collection,
            "suspects": begin | "Read unfinished attempts" >> ReadSuspects(job),
        }
        decided = (
            known
            | "Join on id" >> beam.CoGroupByKey()
            | "Decide" >> beam.ParDo(Decide(job)).with_outputs("tally", main="to_do")
        )
        tally = decided.tally | "Tally" >> beam.CombinePerKey(sum)
        return {"to_do": decided.to_do, "kept": finished["summaries"], "tally": tally}
