"""Verifying a job's output: whether its files are what its manifests and indexes say."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from captioner import datafiles, shards, storage
from captioner.verifying.manifests import read_manifests
from captioner.verifying.report import Files, Problem, Report
from captioner.verifying.shard import ShardCheck

__all__ = ["Problem", "Report", "verify"]

# At most so many shards at once: on local disks, so many files, with a bucket, so many downloads.
_THREADS = 8


def verify(output: str) -> Report:
    """Check all files of a job's output, features or captions, against each other.

    Every data file is read: there is no cheaper way to know that it is whole.

    Raises:
        UserError: there is no output of a job.
    """
    files = Files.of(output)
    report = Report(shards=len(files.data))
    named = read_manifests(files, report.problems)
    used: set[str] = set()
    calls = (ShardCheck(files, file, named.get(file)).run for file in sorted(files.data | {*named}))
    for check in _ahead(calls):
        report.problems += check.problems
        report.done += sum(not outcome.failure for outcome in check.outcomes)
        report.failed += sum(bool(outcome.failure) for outcome in check.outcomes)
        used.add(check.name)
    named_after_none = (storage.name(file) not in used for file in files.indexes | files.failures)
    report.leftovers = sum(named_after_none) + sum(1 for _ in shards.unfinished(output))
    if _holds_features(files):
        from captioner.verifying.dataset import check_dataset  # with TensorFlow

        report.problems += check_dataset(files, is_sound=not report.problems)
    report.problems.sort()
    return report


def _holds_features(files: Files) -> bool:
    is_there = storage.exists(storage.join(files.output, "dataset.json"))
    return is_there or any(file.endswith(datafiles.FEATURES) for file in files.data)


def _ahead(calls: Iterable[Callable[[], ShardCheck]]) -> Iterator[ShardCheck]:
    """The results of calls, in order; some are under way at once, and few wait to be taken."""
    waiting: collections.deque[Future[ShardCheck]] = collections.deque()
    with ThreadPoolExecutor(_THREADS, "verify") as threads:
        for call in calls:
            waiting.append(threads.submit(call))
            if len(waiting) > _THREADS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
