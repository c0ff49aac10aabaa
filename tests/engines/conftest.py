"""The engines, each started once, and what they are given to do."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from captioner import captions
from captioner.records import FeatureDataset
from tests.engines import servers
from tests.engines.cloud import bucket, images, service, settings  # noqa: F401  (fixtures)
from tests.engines.servers import Engine

LOCAL = Engine("local")


@dataclasses.dataclass(frozen=True)
class Material:
    """Pictures, captions and a model, and what a local run makes of them.

    Args:
        root: where all of it is.
    """

    root: Path

    @property
    def images(self) -> Path:
        """Pictures, and some files that are none."""
        return self.root / "scenes/Flicker8k_Dataset"

    def extract(self, engine: Engine, output: Path) -> str:
        """Run `extract` on an engine."""
        scenes = self.root / "scenes"
        return engine.run(
            *("extract", "--input", self.images, "--output", output, "--shard-size", 10),
            *("--captions", scenes / "Flickr8k.token.txt", "--splits", scenes),
            *("--encoder-weights", "none", "--encoder-layer", "block2_pool", "--image-size", 71),
            *("--features", "grid", "--grid-size", 3, "--batch-size", 8),
        )

    def caption(self, engine: Engine, output: Path, *more: object, status: int = 0) -> str:
        """Run `caption` on an engine."""
        return engine.run(
            *("caption", "--input", self.images, "--model", self.root / "model"),
            *("--output", output, "--shard-size", 10, "--batch-size", 8, *more),
            status=status,
        )


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    """Sixty scenes and three files that can't be done, their features, a model, captions."""
    made = Material(tmp_path_factory.mktemp("material"))
    LOCAL.run("scenes", "--output", made.root / "scenes", "--count", 60)
    whole = next(made.images.glob("scene*")).read_bytes()
    (made.images / "empty.jpg").touch()
    (made.images / "note.txt").write_text("no image")
    (made.images / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    made.extract(LOCAL, made.root / "features")
    LOCAL.run(
        *("train", "--features", made.root / "features", "--output", made.root / "model"),
        *("--epochs", 1, "--units", 16, "--min-count", 1),
    )
    made.caption(LOCAL, made.root / "captions")
    return made


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For the engines' logs."""
    return tmp_path_factory.mktemp("engines")


@pytest.fixture(scope="session")
def worker_pool(workplace: Path) -> Iterator[str]:
    """One for all engines that ask for one."""
    with servers.worker_pool(workplace) as address:
        yield address


@pytest.fixture(scope="session")
def prism() -> Engine:
    """See `servers.prism`."""
    return servers.prism()


@pytest.fixture(scope="session")
def prism_with_process() -> Engine:
    """See `servers`."""
    return servers.prism_with_process()


@pytest.fixture(scope="session")
def spark(workplace: Path, worker_pool: str) -> Iterator[Engine]:
    """See `servers.local_spark`."""
    with servers.local_spark(workplace, worker_pool) as engine:
        yield engine


@pytest.fixture(scope="session")
def flink(workplace: Path, worker_pool: str) -> Iterator[Engine]:
    """See `servers`."""
    with servers.flink(workplace, worker_pool) as engine:
        yield engine


@pytest.fixture(scope="session")
def standalone(workplace: Path) -> Iterator[Engine]:
    """See `servers`."""
    with servers.standalone(workplace) as engine:
        yield engine


@pytest.fixture
def output(tmp_path: Path) -> Iterator[Path]:
    """Where a job writes, removed behind it."""
    yield tmp_path / "out"
    shutil.rmtree(tmp_path / "out", ignore_errors=True)


def manifest(output: Path) -> dict[str, Any]:
    """That of the latest run."""
    return json.loads(max((output / "runs").iterdir()).read_text())


def features(output: Path) -> dict[str, np.ndarray]:
    """Features by id, of all splits; asserts that none is there twice."""
    found: dict[str, np.ndarray] = {}
    dataset = FeatureDataset.load(str(output))
    for split in dataset.counts:
        for record in dataset.records(split).as_numpy_iterator():
            assert record["id"].decode() not in found
            found[record["id"].decode()] = record["features"]
    return found


def captions_of(output: Path) -> dict[str, tuple[str, float]]:
    """Captions by id, with their log-probabilities; asserts that none is there twice."""
    lines = [line for file in (output / "shards").iterdir() for line in file.open()]
    found = {record.id: record for record in captions.read(str(output))}
    assert len(lines) == len(found)
    return {id: (record.caption, record.log_probability) for id, record in found.items()}


def failures(output: Path) -> dict[str, str]:
    """Reasons by id."""
    files = (output / "failures").iterdir()
    lines = [json.loads(line) for file in files for line in file.open()]
    return {line["id"]: line["reason"] for line in lines}


def neighbours(directory: Path) -> dict[str, list[dict[str, Any]]]:
    """The neighbours of each image that has any."""
    assert json.loads((directory / "summary.json").read_text())["images"]["seen"] == 60
    files = (directory / "neighbours").iterdir()
    rows = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    return {row["id"]: row["neighbours"] for row in rows}
