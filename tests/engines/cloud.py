"""Google's Cloud Storage and Dataflow, as far as tests need them, on this machine."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from captioner import storage
from tests.engines.fake_dataflow import FakeDataflow
from tests.local_google import LocalGoogle


@pytest.fixture(scope="module")
def service() -> Iterator[FakeDataflow]:
    """A Dataflow."""
    with FakeDataflow().serving() as service:
        yield service


@pytest.fixture(scope="module")
def settings(google: LocalGoogle) -> Iterator[None]:
    """Leads to the local Cloud Storage, with credentials that are made up."""
    name = "GOOGLE_APPLICATION_CREDENTIALS"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", google.url)
        patch.setenv(name, google.environment[name])
        yield


@pytest.fixture
def bucket(google: LocalGoogle, settings: None) -> str:
    """A new bucket, which is in us-central1."""
    name = f"captioner-{uuid.uuid4().hex[:12]}"
    google.create_bucket(name)
    return f"gs://{name}"


@pytest.fixture
def images(bucket: str, picture, tmp_path: Path) -> str:
    """Three images in a bucket."""
    for number in range(3):
        path = picture(tmp_path / f"{number}.png")
        storage.replace(f"{bucket}/photos/{number}.png", path.read_bytes())
    return f"{bucket}/photos"
