"""Engines: whichever runs an encoder's network, the features are the same."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from captioner import cli, encoders
from captioner.encoders import engines
from captioner.errors import UserError
from captioner.records import FeatureDataset

SMALL = {"layer": "block2_pool", "image_size": 75}


def pictures(count: int) -> np.ndarray:
    """Blurred noise: uint8 [count, 75, 75, 3]."""
    drawn = np.random.default_rng(0).integers(0, 256, (count, 9, 9, 3), np.uint8)
    return np.stack([np.asarray(Image.fromarray(picture).resize((75, 75))) for picture in drawn])


def cosines(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    rows, columns = some.reshape(len(some), -1), others.reshape(len(others), -1)
    norms = np.linalg.norm(rows, axis=1) * np.linalg.norm(columns, axis=1)
    return (rows * columns).sum(axis=1) / norms


@pytest.mark.parametrize("features", ["pooled", "grid"])
def test_openvino_gives_the_features_of_keras_for_batches_of_any_size(features: str) -> None:
    exact = encoders.create("xception", "none", **SMALL, features=features, engine="tensorflow")
    fast = encoders.create("xception", "none", **SMALL, features=features, engine="openvino")
    assert fast.spec == exact.spec
    found = pictures(19)
    expected = exact.encode(found)
    for count in (1, 8, 19):
        encoded = fast.encode(found[:count])
        assert encoded.dtype == np.float32 and encoded.shape == (count, *exact.feature_shape)
        np.testing.assert_allclose(encoded, expected[:count], atol=1e-3)


def test_several_networks_in_bfloat16_stay_close_to_float32() -> None:
    settings = {"layer": "block2_pool+block3_pool", "image_size": 75}
    exact = encoders.create("xception+xception", "none", **settings, engine="tensorflow")
    fast = encoders.create(
        "xception+xception", "none", **settings, engine="openvino", precision="bfloat16"
    )
    assert fast.spec.fingerprint != exact.spec.fingerprint
    found = pictures(32)
    assert cosines(fast.encode(found), exact.encode(found)).min() > 0.999


def test_by_itself_it_is_openvino_where_it_is_installed(monkeypatch) -> None:
    assert engines.choose("auto") == engines.choose("openvino") == "openvino"
    assert engines.choose("tensorflow") == "tensorflow"
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert engines.choose("auto") == "tensorflow"
    assert engines.best_precision("auto") == "float32"
    with pytest.raises(UserError, match=r"pip install 'captioner\[openvino\]'"):
        engines.choose("openvino")
    with pytest.raises(UserError, match="no engine is called 'torch': auto, tensorflow, openvino"):
        engines.choose("torch")


def test_nobody_is_told_of_its_use() -> None:
    code = (
        "import sys; from captioner.encoders import engines; engines.best_precision('openvino'); "
        "assert sys.modules['openvino'] and not sys.modules['openvino_telemetry']"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"TF_CPP_MIN_LOG_LEVEL": "3"})


def test_a_job_by_any_engine_and_that_its_next_run_keeps_the_precision(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for number, picture in enumerate(pictures(5)):
        Image.fromarray(picture).save(tmp_path / f"images/{number}.png")
    (tmp_path / "images/bad.jpg").write_bytes(b"no picture")

    def extract(output: str, *flags: str) -> FeatureDataset:
        arguments = ["extract", "--input", f"{tmp_path}/images", "--output", f"{tmp_path}/{output}"]
        arguments += ["--encoder-weights", "none", "--image-size", "75", *flags]
        arguments += ["--encoder-layer", "block2_pool", "--batch-size", "4"]
        assert cli.main(arguments) == 0
        return FeatureDataset.load(f"{tmp_path}/{output}")

    def features(dataset: FeatureDataset) -> dict[bytes, np.ndarray]:
        (split,) = dataset.counts
        records = dataset.records(split).as_numpy_iterator()
        return {record["id"]: record["features"].astype(np.float32) for record in records}

    exact = features(extract("exact", "--engine", "tensorflow", "--precision", "float32"))
    for precision in ("float32", "bfloat16"):
        first = extract(precision, "--engine", "openvino", "--precision", precision)
        assert first.encoder.precision == precision
        found = features(first)
        assert found.keys() == exact.keys() and len(found) == 5
        for id, values in found.items():
            assert cosines(values[None], exact[id][None]) > 0.999
        extract(precision)
        newest = sorted((tmp_path / precision / "runs").iterdir())[-1]
        images = json.loads(newest.read_text())["images"]
        assert (images["done"], images["skipped"]) == (0, 5)
