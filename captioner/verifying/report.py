"""What is there, what should be there, and what is wrong with it."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import NamedTuple

from captioner import shards, storage
from captioner.errors import UserError
from captioner.shards import Summary
from captioner.wording import counted


class Problem(NamedTuple):
    """What is wrong with a file, given relative to the output directory.

    `kind` is missing, truncated, altered, unreadable (no longer of its format), stray (no shard's),
    stale (derived from shards, and behind them) or unfinished (of a run that has no manifest).
    `detail` says what to do too.
    """

    file: str
    kind: str
    detail: str

    def __str__(self) -> str:
        return f"{self.file}: {self.kind}: {self.detail}"


@dataclasses.dataclass
class Report:
    """What `verify` found.

    Args:
        problems: in the order of their files.
        shards: data files there are.
        done, failed: outcomes in them; of one image there may be several.
        leftovers: files that killed attempts left and that nothing reads.
        superseded: shards whose data is no longer there, and whose images were all done anew.
    """

    problems: list[Problem] = dataclasses.field(default_factory=list)
    shards: int = 0
    done: int = 0
    failed: int = 0
    leftovers: int = 0
    superseded: int = 0

    def __str__(self) -> str:
        kinds = Counter(problem.kind for problem in self.problems)
        found = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))
        harmless = []
        if self.leftovers:
            harmless.append(f"{counted(self.leftovers, 'file')} left by killed attempts")
        if self.superseded:
            harmless.append(f"{counted(self.superseded, 'shard')} gone and done anew")
        return (
            f"{counted(self.shards, 'shard')} with {counted(self.done, 'result')} and "
            f"{counted(self.failed, 'failure')}: {found or 'all is well'}"
            + (f" ({' and '.join(harmless)}, harmless)" if harmless else "")
        )


class Named(NamedTuple):
    """A shard as a manifest describes it."""

    summary: Summary
    manifest: str

    @property
    def index(self) -> str:
        """The name of its index, and of its failures."""
        return shards.index_name(self.summary.task, self.summary.sha256)


@dataclasses.dataclass(frozen=True)
class Files:
    """The files of an output directory, relative to it."""

    output: str
    manifests: set[str]
    data: set[str]
    indexes: set[str]
    failures: set[str]

    @classmethod
    def of(cls, output: str) -> Files:
        """What there is.

        Raises:
            UserError: no output of a job, or none that is finished in part.
        """
        # In the order in which one needs the other, so that a job may be running meanwhile.
        names = ("runs", "shards", "index", "failures")
        found = [
            {relative(entry.uri, output) for entry in storage.walk(storage.join(output, name))}
            for name in names
        ]
        if not any(found):
            begun = storage.is_directory(storage.join(output, "plans"))
            what = "no shard is finished here yet" if begun else "there is no output of a job here"
            raise UserError(f"{output}: {what}")
        return cls(output, *found)

    def strays(self) -> set[str]:
        """What is called neither as an index is nor as the failures beside it, where these are."""
        return {
            file
            for file in self.indexes | self.failures
            if file.count("/") > 1 or not shards.is_index(storage.name(file))
        }

    def read(self, file: str) -> bytes:
        """A file's content."""
        return storage.read_bytes(storage.join(self.output, file))


def relative(uri: str, output: str) -> str:
    """The path of a file below `output`."""
    return uri.removeprefix(storage.join(output, ""))


def said(error: Exception) -> str:
    """What an exception says, on one line."""
    kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
    return " ".join(f"{kind}{error}".split())[:200]
