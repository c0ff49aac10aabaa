"""What the lines of an index and of ``failures/`` say."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import uuid
from typing import Any, NamedTuple

FORMAT = 1
MANIFEST_FORMAT = 1
# The verb in the manifest that `captioner compact` makes: its shards are of several settings.
COMPACT = "compact"


class Outcome(NamedTuple):
    """How one image ended: a line of a shard's index.

    `failure` is empty, or the reason there is no result. `permanent` failures are not tried again
    while the image is the same, which `stamp` tells.
    """

    id: str
    uri: str
    stamp: str
    content_hash: str
    failure: str
    permanent: bool


class Failure(NamedTuple):
    """A line of ``failures/``: why an image has no result. `stage` is read, decode or infer.

    `source` is the file the image is inside of, or empty: with `uri` it says where to try again.
    """

    id: str
    uri: str
    source: str
    stage: str
    reason: str
    message: str
    permanent: bool
    run: str


@dataclasses.dataclass
class Summary:
    """What a finished shard holds: the first line of its index, and its part of the run's manifest.

    Args:
        task: the task's id, and so the name of the shard's files.
        file: the data file, relative to the output directory.
        run: the run that made it.
        settings: fingerprint of what decides the results, see `fingerprint`.
        split: train, dev, test or empty.
        done: images with a result.
        deduplicated: those of them whose result is that of an image with the same bytes.
        failed: images without one, by reason.
        seconds: spent on it, by stage.
        models: the loaded models that its images went through, each as MACHINE/PROCESS/HASH.
        size, sha256: of the data file.
        outcomes_sha256: of the index's lines after the first.
        failures_sha256: of the file in ``failures/``; empty where no image failed.
    """

    task: str
    file: str
    run: str
    settings: str
    split: str
    done: int = 0
    deduplicated: int = 0
    failed: dict[str, int] = dataclasses.field(default_factory=dict)
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    models: list[str] = dataclasses.field(default_factory=list)
    size: int = 0
    sha256: str = ""
    outcomes_sha256: str = ""
    failures_sha256: str = ""

    def to_line(self) -> str:
        """The summary as one line of JSON."""
        return json.dumps({"format": FORMAT, **dataclasses.asdict(self)}) + "\n"

    @classmethod
    def from_line(cls, line: str) -> Summary:
        """The inverse of `to_line`."""
        values = json.loads(line)
        if values.pop("format") != FORMAT:
            raise ValueError("an index of another version of captioner")
        return cls(**values)


def new_run() -> str:
    """An id for a run that starts now: ids sort by time, and no two are equal."""
    now = datetime.datetime.now(datetime.UTC)
    return f"{now:%Y%m%dT%H%M%S.%fZ}-{uuid.uuid4().hex[:6]}"


def fingerprint(settings: dict[str, Any]) -> str:
    """A short hash of JSON values: equal settings, equal fingerprint."""
    canonical = json.dumps(settings, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
