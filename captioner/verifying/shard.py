"""The check of one shard: its data, its index and its failures."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path

from captioner import datafiles, shards, storage
from captioner.shards import Outcome, Summary
from captioner.verifying.report import Files, Named, Problem, said
from captioner.wording import counted

_UNFINISHED = (
    "its run has not come to its end; run the same command again; where its settings are no longer "
    "used, delete it or `captioner compact` the output"
)


class ShardCheck:
    """The check of one shard.

    Args:
        files: what there is.
        file: the data file.
        claims: what manifests say of it, if they do, the latest last.

    Attributes:
        problems: what was found.
        lost: those of the claims that are about other data than what is there.
        name: of the shard's index, and of its failures; empty if it has no data.
        is_whole: whether data, index and failures are as they were written.
        summary, outcomes: what its index says; None and nothing if it can't be read.
    """

    def __init__(self, files: Files, file: str, claims: list[Named]) -> None:
        self._files = files
        self._file = file
        self._named: Named | None = None
        self.problems: list[Problem] = []
        self.lost = claims
        self.name = ""
        self.is_whole = False
        self.summary: Summary | None = None
        self.outcomes: list[Outcome] = []

    def run(self) -> ShardCheck:
        """Check it."""
        if self._file not in self._files.data:
            return self
        with storage.local_copy(storage.join(self._files.output, self._file)) as local:
            self._check(local)
        self.is_whole = not self.problems
        if not self._named and self.is_whole:
            self._add(self._file, "unfinished", _UNFINISHED)
        return self

    def _check(self, local: Path) -> None:
        sha256 = shards.sha256_of(local)
        self._choose_claim(sha256)
        is_as_named = self._is_as_named(local.stat().st_size, sha256)
        if self._read_index():
            self._check_failures()
            if is_as_named:
                self._check_records(str(local))

    def _choose_claim(self, sha256: str) -> None:
        """Take the claim that is about this data, or else the last, and the data is damaged."""
        fitting = [claim for claim in self.lost if claim.summary.sha256 == sha256]
        self._named = (fitting or self.lost or [None])[-1]
        self.lost = [claim for claim in self.lost if claim is not self._named]
        task = shards.task_of(self._file)
        self.name = self._named.index if self._named else shards.index_name(task, sha256)

    def _is_as_named(self, size: int, sha256: str) -> bool:
        if not self._named or self._named.summary.sha256 == sha256:
            return True
        expected = self._named.summary.size
        if size < expected:
            self._add_damaged(self._file, "truncated", f"has {size} of its {expected} bytes")
        else:
            detail = f"not what {self._named.manifest} says, by its SHA-256"
            self._add_damaged(self._file, "altered", detail)
        return False

    def _read_index(self) -> bool:
        """Whether there is an index that can be read."""
        index = f"index/{self.name}"
        if index not in self._files.indexes:
            self._add_missing_index(index)
            return False
        content = self._files.read(index)
        try:
            self.summary, self.outcomes = shards.parse_index(content)
        except shards.UNREADABLE as error:
            self._add_damaged(index, "unreadable", said(error))
            return False
        self._check_summary(index, content)
        return True

    def _add_missing_index(self, index: str) -> None:
        task = shards.task_of(self._file)
        if self._named:
            self._add_damaged(index, "missing", f"{self._file} needs it")
        elif any(shards.task_of_index(file) == task for file in self._files.indexes):
            detail = "or truncated: its index is of other content"
            self._add_damaged(self._file, "altered", detail)
        else:
            detail = "it has no index, and no manifest names it; delete it"
            self._add(self._file, "stray", detail)

    def _check_summary(self, index: str, content: bytes) -> None:
        summary = self.summary
        failed = Counter(outcome.failure for outcome in self.outcomes if outcome.failure)
        done = len(self.outcomes) - failed.total()
        if self._named and self._named.summary != summary:
            detail = f"its summary is not what {self._named.manifest} says"
        elif shards.outcomes_sha256(content) != summary.outcomes_sha256:
            detail = "its lines are not those that were written, by SHA-256"
        elif (done, failed) != (summary.done, Counter(summary.failed)):
            detail = "its counts are not those of its lines"
        else:
            return
        self._add_damaged(index, "altered", detail)

    def _check_failures(self) -> None:
        file = f"failures/{self.name}"
        expected = [outcome.id for outcome in self.outcomes if outcome.failure]
        if file not in self._files.failures:
            if expected:
                detail = f"{counted(len(expected), 'image')} of {self._file} failed"
                self._add_damaged(file, "missing", detail)
            return
        content = self._files.read(file)
        try:
            found = [json.loads(line)["id"] for line in content.decode().splitlines()]
        except shards.UNREADABLE as error:
            self._add_damaged(file, "unreadable", said(error))
            return
        if found != expected:
            self._compare(file, found, expected, "failures")
        elif hashlib.sha256(content).hexdigest() != self.summary.failures_sha256:
            self._add_damaged(file, "altered", f"not what index/{self.name} says, by its SHA-256")

    def _check_records(self, local: str) -> None:
        expected = [outcome.id for outcome in self.outcomes if not outcome.failure]
        try:
            data = datafiles.format_of(shards.extension_of(self._file))
            found = [data.id_of(record) for record in data.read(local)]
        except Exception as error:  # of gzip, JSON, TensorFlow, protobuf or Arrow
            self._add_damaged(self._file, "unreadable", said(error))
            return
        self._compare(self._file, found, expected, "results")

    def _compare(self, file: str, found: list[str], expected: list[str], what: str) -> None:
        lacking = sorted({*expected} - {*found})
        extra = sorted({*found} - {*expected})
        if lacking:
            detail = f"lacks {len(lacking)} {what} that its index has, such as '{lacking[0]}'"
            self._add_damaged(file, "altered", detail)
        if extra:
            detail = f"has {len(extra)} {what} that its index lacks, such as '{extra[0]}'"
            self._add_damaged(file, "altered", detail)
        if found != expected and not lacking and not extra:
            self._add_damaged(file, "altered", f"its {what} are not in the order of its index")

    def _add_damaged(self, file: str, kind: str, detail: str) -> None:
        """Add a problem that is mended by doing the shard's images again."""
        delete = [file]
        if file != self._file:
            # Created anew, data may be the same, and then what is beside it already would stay.
            beside = (self._file, f"index/{self.name}", f"failures/{self.name}")
            there = self._files.data | self._files.indexes | self._files.failures
            delete = [name for name in beside if name in there]
        remedy = f"delete {' and '.join(delete)}, and run the job's command again"
        self._add(file, kind, f"{detail}; {remedy}")

    def _add(self, file: str, kind: str, detail: str) -> None:
        self.problems.append(Problem(file, kind, detail))
