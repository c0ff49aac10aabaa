"""Shards that manifests name and that are no longer there: missing, or done anew since."""

from __future__ import annotations

import collections
import contextlib

from captioner import shards, storage
from captioner.errors import UserError
from captioner.shards import Summary
from captioner.tasks import Task
from captioner.verifying.manifests import Claims
from captioner.verifying.report import Files, Named, Problem
from captioner.verifying.shard import ShardCheck

_REMEDY = "run the job's command again; if that doesn't mend it, `captioner compact` what is left"


class LostShards:
    """Tells missing shards from those that were deleted and whose images were all done anew.

    Args:
        files: what there is.
        claims: what manifests say.

    Attributes:
        names: of the lost shards' indexes and failures.
        superseded: how many of them need nothing, known once `problems` was called.
    """

    def __init__(self, files: Files, claims: Claims) -> None:
        self._lost: list[Named] = []
        self._ids: dict[str, set[str]] = collections.defaultdict(set)  # by task
        for file, known in claims.items():
            for claim in known if file not in files.data or len(known) > 1 else ():
                self._ids[claim.summary.task] |= _ids(files, claim.summary)
        self._wanted = set().union(*self._ids.values())
        # The run of the newest outcome in a whole shard, by settings and id; of wanted ids only.
        self._newest: dict[str, dict[str, str]] = {}
        self.names: set[str] = set()
        self.superseded = 0

    def look_at(self, check: ShardCheck) -> None:
        """Take notice of a checked shard: of what it has, or what is lost of it."""
        self._lost += check.lost
        self.names |= {claim.index for claim in check.lost}
        if not check.is_whole or not self._wanted:
            return
        newest = self._newest.setdefault(check.summary.settings, {})
        for outcome in check.outcomes:
            if outcome.id in self._wanted:
                newest[outcome.id] = max(check.summary.run, newest.get(outcome.id, ""))

    def problems(self) -> list[Problem]:
        """What is missing, once all shards were looked at."""
        missing = [claim for claim in self._lost if not self._is_superseded(claim)]
        self.superseded = len(self._lost) - len(missing)
        return [
            Problem(claim.summary.file, "missing", f"{claim.manifest} names it; {_REMEDY}")
            for claim in missing
        ]

    def _is_superseded(self, claim: Named) -> bool:
        ids = self._ids[claim.summary.task]
        newest = self._newest.get(claim.summary.settings, {})
        return bool(ids) and all(newest.get(id, "") > claim.summary.run for id in ids)


def _ids(files: Files, summary: Summary) -> set[str]:
    """The images of a lost shard, as its index says or else the plan; none where neither does."""
    index = f"index/{shards.index_name(summary.task, summary.sha256)}"
    if index in files.indexes:
        with contextlib.suppress(*shards.UNREADABLE):
            content = files.read(index)
            if shards.outcomes_sha256(content) == summary.outcomes_sha256:
                return {outcome.id for outcome in shards.parse_index(content)[1]}
    # Whoever tidies up old marks and plans loses no image by it.
    with contextlib.suppress(UserError, OSError, *shards.UNREADABLE):
        task = _planned(files, summary.task)
        if task.id == summary.task:
            return {reference.id for reference in task.references}
    return set()


def _planned(files: Files, task: str) -> Task:
    """A task as its plan has it, which is where the output is now."""
    _, _, place = files.read(f"attempts/{task}").decode().rpartition("/plans/")
    return Task.read(storage.join(files.output, "plans", place))
