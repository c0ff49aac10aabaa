"""EXECUTE, last step: a task's results become a finished shard."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import apache_beam as beam
from apache_beam.metrics import Metrics

from captioner.errors import UserError
from captioner.images import Reason
from captioner.shards import Failure, Outcome, ShardWriter, Spool, Summary, read_summary
from pipelines.items import Item, remember
from pipelines.job import Job
from pipelines.reading import shard_file

# So many images of a task that can't be read at all are the store's fault, not theirs.
MANY = 16


class WriteShards(beam.DoFn):
    """Items to the `Summary` line of their shard, when the last of a task has come.

    The items of a task come from one bundle, in any batches: everything since the task was read
    is one fused stage.

    Args:
        job: the job.
        open_spool: opens a local data file.
        to_record: an item with a result as a record's bytes.
    """

    def __init__(
        self,
        job: Job,
        open_spool: Callable[[str], Spool],
        to_record: Callable[[Item], bytes],
    ) -> None:
        self._job = job
        self._open_spool = open_spool
        self._to_record = to_record
        self._done = Metrics.counter("captioner", "images_done")
        self._failed = Metrics.counter("captioner", "images_failed")
        self._shards = Metrics.counter("captioner", "shards_written")

    def start_bundle(self) -> None:
        self._open: dict[str, TaskWriter] = {}

    def process(self, item: Item) -> Iterator[str]:
        if item.reference is None:
            yield read_summary(self._job.output, shard_file(item.task, self._job)).to_line()
            return
        writer = self._open.get(item.task.id) or self._start(item)
        writer.add(item)
        if writer.is_complete():
            summary = self._open.pop(item.task.id).publish()
            self._shards.inc()
            self._done.inc(summary.done)
            self._failed.inc(sum(summary.failed.values()))
            yield summary.to_line()

    def finish_bundle(self) -> None:
        if self._open:
            raise RuntimeError(f"tasks without all their images: {sorted(self._open)}")

    def _start(self, item: Item) -> TaskWriter:
        writer = TaskWriter(self._job, item, self._open_spool, self._to_record)
        self._open[item.task.id] = writer
        return writer


class TaskWriter:
    """Collects the items of one task. See `WriteShards`."""

    def __init__(
        self,
        job: Job,
        first: Item,
        open_spool: Callable[[str], Spool],
        to_record: Callable[[Item], bytes],
    ) -> None:
        self._job = job
        self._to_record = to_record
        self._expected = len(first.task.references)
        self._new = sum(not reference.after for reference in first.task.references)
        self._originals: dict[str, Item] = {}
        self._not_inferred: list[str] = []
        self._not_read: list[str] = []
        summary = Summary(
            first.task.id, shard_file(first.task, job), job.run, job.settings, first.task.split
        )
        self._shard = ShardWriter(job.output, summary, open_spool)

    def add(self, item: Item) -> None:
        """Take an item to its end; one with the bytes of an earlier one ends as that one did."""
        self._shard.add_work(item.model, **item.seconds)
        if item.repeats:
            original = self._originals[item.content_hash]
            item.result, item.problem = original.result, original.problem
            item.width, item.height = original.width, original.height
        elif item.model:  # it went through the network
            remember(self._originals, item, item, self._job.options.shard_size)
        if item.problem:
            self._add_failure(item)
        else:
            self._shard.add_result(self._outcome(item), self._to_record(item), item.repeats)

    def is_complete(self) -> bool:
        """Whether every image of the task has ended."""
        return len(self._shard) == self._expected

    def publish(self) -> Summary:
        """Publish the shard.

        Raises:
            RuntimeError: the network failed for every one of several new images.
            UserError: none of many new images could be read, or the output directory is there no
                longer.
        """
        if self._new > 1 and len(self._not_inferred) == self._expected:
            self._shard.discard()
            raise RuntimeError(f"every image fails: {self._not_inferred[0]}")
        if self._new >= MANY and len(self._not_read) == self._expected:
            self._shard.discard()
            raise UserError(
                f"none of {self._expected} images could be read, the first for this reason: "
                f"{self._not_read[0]}; see to it and run the same command again"
            )
        self._job.check_output()
        return self._shard.publish()

    def _add_failure(self, item: Item) -> None:
        problem = item.problem
        if problem.stage == "infer":
            self._not_inferred.append(problem.message)
        elif problem.reason == Reason.UNREADABLE and not self._job.from_features:
            self._not_read.append(problem.message)
        failure = Failure(
            item.reference.id,
            item.reference.uri,
            item.reference.source,
            problem.stage,
            problem.reason,
            problem.message,
            problem.permanent,
            self._job.run,
        )
        self._shard.add_failure(self._outcome(item), failure)

    def _outcome(self, item: Item) -> Outcome:
        reference, problem = item.reference, item.problem
        failed = (problem.reason, problem.permanent) if problem else ("", False)
        return Outcome(reference.id, reference.uri, reference.stamp, item.content_hash, *failed)
