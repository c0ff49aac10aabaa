"""Verifying a job's output: whether its files are what its manifests and indexes say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from captioner import datafiles, shards, storage
from captioner.threads import ahead
from captioner.verifying.lost import LostShards
from captioner.verifying.manifests import read_manifests
from captioner.verifying.report import Files, Problem, Report
from captioner.verifying.shard import ShardCheck

__all__ = ["Problem", "Report", "verify"]

# At most so many shards at once: on local disks, so many files, with a bucket, so many downloads.
_THREADS = 8

_STRAY = "not called as what captioner writes here; delete it, or move it elsewhere"


def verify(output: str) -> Report:
    """Check all files of a job's output, features or captions, against each other.

    Every data file is read: there is no cheaper way to know that it is whole.

    Raises:
        UserError: there is no output of a job.
    """
    files = Files.of(output)
    report = Report(shards=len(files.data))
    claims = read_manifests(files, report.problems)
    lost = LostShards(files, claims)
    used: set[str] = set()
    every = sorted(files.data | {*claims})
    checks = (ShardCheck(files, file, claims.get(file, [])) for file in every)
    for check in _checked(checks):
        lost.look_at(check)
        report.problems += check.problems
        report.done += sum(not outcome.failure for outcome in check.outcomes)
        report.failed += sum(bool(outcome.failure) for outcome in check.outcomes)
        used.add(check.name)
    report.problems += lost.problems()
    report.superseded = lost.superseded
    report.problems += (Problem(file, "stray", _STRAY) for file in files.strays())
    report.leftovers = _count_leftovers(files, used | lost.names)
    if _holds_features(files):
        from captioner.verifying.dataset import check_dataset  # with TensorFlow

        report.problems += check_dataset(files, is_sound=not report.problems)
    report.problems.sort()
    return report


def _count_leftovers(files: Files, used: set[str]) -> int:
    """How many files killed attempts left; `used` are the names of shards' indexes."""
    beside = (files.indexes | files.failures) - files.strays()
    tasks = {shards.task_of_index(name) for name in used}
    marks = (storage.name(mark) for mark in shards.unfinished(files.output))
    unused = sum(storage.name(file) not in used for file in beside)
    return unused + sum(mark not in tasks for mark in marks)


def _holds_features(files: Files) -> bool:
    is_there = storage.exists(storage.join(files.output, "dataset.json"))
    return is_there or any(file.endswith(datafiles.FEATURES) for file in files.data)


def _checked(checks: Iterable[ShardCheck]) -> Iterator[ShardCheck]:
    with ThreadPoolExecutor(_THREADS, "verify") as threads:
        yield from ahead(threads, ((check.run,) for check in checks), _THREADS + 1)
