"""The check of one shard: its data, its index and its failures."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path

from captioner import datafiles, shards, storage
from captioner.shards import Outcome, Summary
from captioner.verifying.report import Files, Named, Problem, said


class ShardCheck:
    """The check of one shard.

    Args:
        files: what there is.
        file: the data file.
        named: what a manifest says of it, if one does.

    Attributes:
        problems: what was found.
        name: of the shard's index, and of its failures.
        outcomes: what its index says.
    """

    def __init__(self, files: Files, file: str, named: Named | None) -> None:
        self._files = files
        self._file = file
        self._named = named
        self.problems: list[Problem] = []
        self.name = ""
        self.outcomes: list[Outcome] = []

    def run(self) -> ShardCheck:
        """Check it."""
        if self._named:
            self._set_name(self._named.summary.sha256)
        if self._file not in self._files.data:
            self._add(self._file, "missing", f"{self._named.manifest} names it")
            return self
        with storage.local_copy(storage.join(self._files.output, self._file)) as local:
            self._check(local)
        if not self._named and not self.problems:
            detail = "its run has not come to its end; run the same command again"
            self._add(self._file, "unfinished", detail)
        return self

    def _check(self, local: Path) -> None:
        sha256 = shards.sha256_of(local)
        is_whole = self._is_whole(local.stat().st_size, sha256)
        if not self._named:
            self._set_name(sha256)
        if self._read_index():
            self._check_failures()
            if is_whole:
                self._check_records(str(local))

    def _is_whole(self, size: int, sha256: str) -> bool:
        if not self._named or self._named.summary.sha256 == sha256:
            return True
        expected = self._named.summary.size
        if size < expected:
            self._add(self._file, "truncated", f"has {size} of its {expected} bytes")
        else:
            self._add(
                self._file, "altered", f"not what {self._named.manifest} says, by its SHA-256"
            )
        return False

    def _read_index(self) -> bool:
        """Whether there is an index that can be read."""
        index = f"index/{self.name}"
        if index not in self._files.indexes:
            self._add_missing_index(index)
            return False
        content = self._files.read(index)
        try:
            summary, self.outcomes = shards.parse_index(content)
        except (ValueError, TypeError, KeyError) as error:
            self._add(index, "unreadable", said(error))
            return False
        self._check_summary(index, summary, content)
        return True

    def _add_missing_index(self, index: str) -> None:
        task = shards.task_of(self._file)
        if self._named:
            self._add(index, "missing", f"{self._file} needs it")
        elif any(storage.name(file).rpartition("-")[0] == task for file in self._files.indexes):
            self._add(self._file, "altered", "or truncated: its index is of other content")
        else:
            self._add(self._file, "stray", "it has no index, and no manifest names it")

    def _check_summary(self, index: str, summary: Summary, content: bytes) -> None:
        lines = hashlib.sha256(content.partition(b"\n")[2]).hexdigest()
        failed = Counter(outcome.failure for outcome in self.outcomes if outcome.failure)
        done = len(self.outcomes) - failed.total()
        if self._named and self._named.summary != summary:
            self._add(index, "altered", f"its summary is not what {self._named.manifest} says")
        elif lines != summary.outcomes_sha256:
            self._add(index, "altered", "its lines are not those that were written, by SHA-256")
        elif (done, failed) != (summary.done, Counter(summary.failed)):
            self._add(index, "altered", "its counts are not those of its lines")

    def _check_failures(self) -> None:
        file = f"failures/{self.name}"
        expected = [outcome.id for outcome in self.outcomes if outcome.failure]
        if file not in self._files.failures:
            if expected:
                self._add(file, "missing", f"{len(expected)} images of {self._file} failed")
            return
        try:
            lines = self._files.read(file).decode().splitlines()
            found = [json.loads(line)["id"] for line in lines]
        except (ValueError, TypeError, KeyError) as error:
            self._add(file, "unreadable", said(error))
            return
        self._compare(file, found, expected, "failures")

    def _check_records(self, local: str) -> None:
        expected = [outcome.id for outcome in self.outcomes if not outcome.failure]
        try:
            data = datafiles.format_of(shards.extension_of(self._file))
            found = [data.id_of(record) for record in data.read(local)]
        except Exception as error:  # of gzip, JSON, TensorFlow, protobuf or Arrow
            self._add(self._file, "unreadable", said(error))
            return
        self._compare(self._file, found, expected, "results")

    def _compare(self, file: str, found: list[str], expected: list[str], what: str) -> None:
        lacking = sorted({*expected} - {*found})
        extra = sorted({*found} - {*expected})
        if lacking:
            detail = f"lacks {len(lacking)} {what} that its index has, such as '{lacking[0]}'"
            self._add(file, "altered", detail)
        if extra:
            detail = f"has {len(extra)} {what} that its index lacks, such as '{extra[0]}'"
            self._add(file, "altered", detail)
        if found != expected and not lacking and not extra:
            self._add(file, "altered", f"its {what} are not in the order of its index")

    def _set_name(self, sha256: str) -> None:
        self.name = shards.index_name(shards.task_of(self._file), sha256)

    def _add(self, file: str, kind: str, detail: str) -> None:
        self.problems.append(Problem(file, kind, detail))
