"""The same jobs on every engine, and the same results."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.engines.conftest import (
    LOCAL,
    Material,
    captions_of,
    failures,
    features,
    manifest,
    neighbours,
)
from tests.engines.servers import Engine

pytestmark = pytest.mark.engines

# The engines that run workers as processes of their own; DirectRunner looks for Prism on the
# network first, and must find what it can do without.
ENGINES = ["prism", "prism_with_process", "spark", "flink", "standalone"]


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Each engine."""
    return request.getfixturevalue(request.param)


def test_features_are_the_same(engine: Engine, material: Material, output: Path) -> None:
    material.extract(engine, output)
    expected, found = features(material.root / "features"), features(output)
    assert found.keys() == expected.keys()
    for id, values in found.items():
        # Batches differ, and with them the order in which a network adds up.
        np.testing.assert_allclose(values, expected[id], rtol=2e-3, atol=2e-3)
    _check_manifest(material.root / "features", output)


def test_captions_and_the_word_about_failures_are_the_same(
    engine: Engine, material: Material, output: Path
) -> None:
    said = material.caption(engine, output, "--max-failures", 2, status=3)
    assert _error(said) == (
        "3 of 63 images failed (1 empty, 1 not_an_image, 1 truncated), more than the 2 allowed; "
        f"see {output}/failures; the other results are in place"
    )
    expected, found = captions_of(material.root / "captions"), captions_of(output)
    assert found.keys() == expected.keys()
    for id, (text, log_probability) in found.items():
        assert text == expected[id][0]
        assert log_probability == pytest.approx(expected[id][1], abs=1e-3)
    _check_manifest(material.root / "captions", output)
    assert "0 done now, 60 done before" in material.caption(LOCAL, output)


def test_neighbours_are_the_same(engine: Engine, material: Material, output: Path) -> None:
    command = ("neighbours", material.root / "captions", "--min-similarity", 0.2, "--output")
    for where, name in ((LOCAL, "here"), (engine, "there")):
        where.run(*command, output / name)
    here, there = (neighbours(output / name) for name in ("here", "there"))
    assert here == there and len(here) > 10


def _check_manifest(expected: Path, found: Path) -> None:
    assert failures(found) == failures(expected)
    assert len(failures(found)) == 3
    first, second = manifest(expected), manifest(found)
    for name in ("images", "current", "settings", "adopted"):
        assert second[name] == first[name]
    assert {shard["task"] for shard in second["shards"]} == {
        shard["task"] for shard in first["shards"]
    }
    # A network once a process, however many bundles it was for; a process a machine or executor.
    processes = [model.rpartition("/")[0] for model in second["models"]]
    assert len(processes) == len(set(processes)) <= 2


def _error(said: str) -> str:
    return re.search("^error: (.*)$", said, re.MULTILINE)[1]
