"""A job from a bucket to a bucket."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest

from captioner import captions, storage
from captioner.compacting import compact
from captioner.verifying import verify
from tests.outputs import CaptionJob


@pytest.fixture
def bucket(s3_bucket: str) -> str:
    """A prefix that nothing else uses."""
    return f"{s3_bucket}/{uuid.uuid4().hex}"


def _upload(bucket: str, picture, directory: Path, name: str, colour: tuple[int, int, int]) -> None:
    data = picture(directory / "picture.png", colour).read_bytes()
    storage.replace(storage.join(bucket, "in", name), data)


def _run(job: CaptionJob, bucket: str) -> dict[str, Any]:
    places = {name: storage.join(bucket, name) for name in ("in", "out")}
    return job.run(input=places["in"], output=places["out"])["images"]


def test_from_a_bucket_to_a_bucket(bucket: str, picture, tmp_path: Path) -> None:
    job, output = CaptionJob(tmp_path), storage.join(bucket, "out")
    for number in range(12):
        _upload(bucket, picture, tmp_path, f"{number % 3}/a[{number}] b.png", (number % 10, 1, 2))
    images = _run(job, bucket)
    # Two are like others: the store's checksums bring them into the same shard.
    assert (images["done"], images["deduplicated"]) == (12, 2)
    assert _run(job, bucket)["skipped"] == 12
    _upload(bucket, picture, tmp_path, "0/a[0] b.png", (99, 1, 2))
    assert _run(job, bucket)["done"] == 1
    found = {record.id: record.caption for record in captions.read(output)}
    assert len(found) == 12 and found["0/a[0] b.png"] == "the colour 99 1 2"
    assert verify(output).problems == []
    compact(output, storage.join(bucket, "compact"))
    compacted = captions.read(storage.join(bucket, "compact"))
    assert {record.id: record.caption for record in compacted} == found
