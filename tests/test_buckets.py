"""Everything from a bucket to a bucket: jobs, and the whole chain through the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest

from captioner import captions, cli, storage, training
from captioner.compacting import compact
from captioner.corpora import scenes
from captioner.records import FeatureDataset
from captioner.training import TrainingOptions
from captioner.verifying import verify
from tests import toy_features
from tests.local_google import LocalGoogle
from tests.outputs import CaptionJob

GOOGLE = pytest.param("gs", marks=pytest.mark.engines)
STORES = ["s3", GOOGLE]


@pytest.fixture(params=STORES)
def bucket(request: pytest.FixtureRequest) -> str:
    """A prefix that nothing else uses."""
    return f"{request.getfixturevalue(f'{request.param}_bucket')}/{uuid.uuid4().hex}"


def _upload(bucket: str, picture, directory: Path, name: str, colour: tuple[int, int, int]) -> None:
    data = picture(directory / "picture.png", colour).read_bytes()
    storage.replace(storage.join(bucket, "in", name), data)


def _run(job: CaptionJob, source: str, output: str) -> dict[str, Any]:
    return job.run(input=source, output=output)["images"]


def test_from_a_bucket_to_a_bucket(bucket: str, picture, tmp_path: Path) -> None:
    job, source = CaptionJob(tmp_path), storage.join(bucket, "in")
    output = storage.join(bucket, "out")
    for number in range(12):
        _upload(bucket, picture, tmp_path, f"{number % 3}/a[{number}] b.png", (number % 10, 1, 2))
    images = _run(job, source, output)
    # Two are like others: the store's checksums bring them into the same shard.
    assert (images["done"], images["deduplicated"]) == (12, 2)
    assert _run(job, source, output)["skipped"] == 12
    _upload(bucket, picture, tmp_path, "0/a[0] b.png", (99, 1, 2))
    assert _run(job, source, output)["done"] == 1
    found = {record.id: record.caption for record in captions.read(output)}
    assert len(found) == 12 and found["0/a[0] b.png"] == "the colour 99 1 2"
    assert verify(output).problems == []
    compact(output, storage.join(bucket, "compact"))
    compacted = captions.read(storage.join(bucket, "compact"))
    assert {record.id: record.caption for record in compacted} == found


def test_lists_and_archives_in_buckets(bucket: str, picture, tmp_path: Path) -> None:
    job = CaptionJob(tmp_path)
    with tarfile.open(tmp_path / "some.tar", "w") as archive:
        for number in range(3):
            archive.add(picture(tmp_path / f"{number}.png"), f"{number}.png")
    storage.create(storage.join(bucket, "some.tar"), tmp_path / "some.tar")
    _upload(bucket, picture, tmp_path, "one.png", (1, 2, 3))
    lines = ["in/one.png", "some.tar", storage.join(bucket, "in/one.png"), "in/nowhere.png"]
    storage.create(storage.join(bucket, "list.txt"), "\n".join(lines).encode())
    for source, done in [("list.txt", 5), ("some.tar", 3)]:
        output = storage.join(bucket, "out", source)
        images = _run(job, storage.join(bucket, source), output)
        assert images["done"] == done
        assert images["failed"] == ({"missing": 1} if source == "list.txt" else {})
        assert verify(output).problems == []


def _upload_all(directory: Path, uri: str) -> None:
    for entry in storage.walk(str(directory)):
        name = entry.uri.removeprefix(f"{directory}/")
        storage.create(storage.join(uri, name), Path(entry.uri))


@pytest.mark.engines
def test_features_in_one_store_and_the_model_in_another(
    s3_bucket: str, gs_bucket: str, tmp_path: Path
) -> None:
    features, model = (f"{bucket}/{uuid.uuid4().hex}" for bucket in (gs_bucket, s3_bucket))
    toy_features.write(str(tmp_path / "features"), {"train": 24, "dev": 4})
    _upload_all(tmp_path / "features", features)
    training.train(features, model, TrainingOptions(epochs=1, settings={"units": 8}, min_count=1))
    assert storage.exists(storage.join(model, "model.json"))


def test_a_bucket_that_is_not_there_is_said_in_a_line(bucket: str, picture, tmp_path, capsys):
    nowhere = f"{bucket.partition('://')[0]}://no-such-bucket"
    picture(tmp_path / "in/a.png")
    network = ("--encoder", "mobilenetv2", "--encoder-weights", "none", "--image-size", "32")
    commands = [
        ["verify", f"{nowhere}/out"],
        ["extract", "--input", f"{nowhere}/in", "--output", str(tmp_path / "out")],
        ["extract", "--input", str(tmp_path / "in"), "--output", f"{nowhere}/out", *network],
        ["evaluate", "--captions", f"{nowhere}/out", "--references", f"{nowhere}/captions.csv"],
    ]
    for command in commands:
        assert cli.main(command) == 2
        said = capsys.readouterr().err
        assert (
            said.startswith(f"error: {nowhere}: there is no such bucket") and "\n" not in said[:-1]
        )


@pytest.mark.parametrize(
    ("uri", "store"), [("s3://pictures/a", "AWS"), ("gs://pictures/a", "Google")]
)
def test_missing_credentials_are_said_in_a_line(uri: str, store: str, tmp_path: Path) -> None:
    known = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    # Neither store's client is to ask the network who it is.
    known |= {"HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true", "NO_GCE_CHECK": "true"}
    command = [sys.executable, "-m", "captioner", "verify", uri]
    done = subprocess.run(command, capture_output=True, text=True, env=known)
    assert done.returncode == 2, done.stderr
    (said,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
    assert said.startswith(f"error: no {store}") and "credentials were found" in said
    assert "Traceback" not in done.stderr


# The command where there is no room for copies, so that all features are streamed.
_WITHOUT_ROOM = """
import sys
from captioner import cli
from captioner.storage import copies
copies.room = lambda: 0
sys.exit(cli.main())
"""


def _train(
    features: str, model: Path, environment: dict[str, str], *python: str
) -> list[dict[str, float]]:
    """Train in a process of its own; the losses of its epochs."""
    command = [sys.executable, *python, "train", "--features", features, "--output", model]
    command += ["--epochs", "2", "--units", "8", "--min-count", "1"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    history = json.loads((model / "history.json").read_text())
    return [{name: epoch[name] for name in ("loss", "development_loss")} for epoch in history]


@pytest.fixture(scope="module")
def local_features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features in two splits."""
    directory = tmp_path_factory.mktemp("streamed") / "features"
    toy_features.write(str(directory), {"train": 24, "dev": 4})
    return directory


@pytest.mark.slow
def test_training_streams_from_s3_what_has_no_room(
    s3_bucket: str, local_features: Path, tmp_path: Path
) -> None:
    features = f"{s3_bucket}/{uuid.uuid4().hex}"
    _upload_all(local_features, features)
    # What boto3 finds in a profile, TensorFlow is told; and such a process ends as it should.
    config = tmp_path / "config"
    config.write_text(
        f"[profile local]\nendpoint_url = {os.environ['AWS_ENDPOINT_URL']}\nregion = us-east-1\n"
        "aws_access_key_id = local\naws_secret_access_key = local\n"
    )
    others = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment = {**others, "AWS_PROFILE": "local", "AWS_CONFIG_FILE": str(config)}
    environment["AWS_SHARED_CREDENTIALS_FILE"] = str(tmp_path / "nowhere")
    streamed = _train(features, tmp_path / "streamed", environment, "-c", _WITHOUT_ROOM)
    assert streamed == _train(features, tmp_path / "copied", environment, "-m", "captioner")


@pytest.mark.engines
def test_training_streams_from_google_what_has_no_room(
    google: LocalGoogle, gs_bucket: str, local_features: Path, tmp_path: Path
) -> None:
    features = f"{gs_bucket}/{uuid.uuid4().hex}"
    _upload_all(local_features, features)
    known = google.environment
    streamed = _train(features, tmp_path / "streamed", known, "-c", _WITHOUT_ROOM)
    assert streamed == _train(features, tmp_path / "copied", known, "-m", "captioner")


@pytest.fixture
def captioner() -> Callable[..., str]:
    """Runs the command in a process of its own; what it says."""

    def run(*arguments: object, status: int = 0) -> str:
        command = [sys.executable, "-m", "captioner", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == status, done.stderr
        return done.stderr if status else done.stdout

    return run


@pytest.mark.parametrize(
    "bucket", [pytest.param("s3", marks=pytest.mark.slow), GOOGLE], indirect=True
)
def test_the_whole_chain_through_the_command(bucket: str, captioner, tmp_path: Path) -> None:
    scenes.draw(str(tmp_path / "scenes"), 40)
    network = keras.applications.MobileNetV2(include_top=False, weights=None)
    network.save_weights(tmp_path / "scenes/own.weights.h5")
    _upload_all(tmp_path / "scenes", bucket)
    images, features, model, output = (
        storage.join(bucket, name)
        for name in ("Flicker8k_Dataset", "out/features", "out/model", "out/captions")
    )
    collection = [storage.join(bucket, "Flickr8k.token.txt"), "--splits", bucket]
    captioner(
        *("extract", "--input", images, "--output", features, "--captions", *collection),
        *("--encoder", "mobilenetv2", "--encoder-weights", storage.join(bucket, "own.weights.h5")),
        *("--encoder-layer", "Conv1_relu", "--image-size", 64, "--shard-size", 8),
        *("--descriptions", storage.join(bucket, "out/descriptions.txt")),
    )
    flags = ("--epochs", 1, "--units", 16, "--min-count", 1)
    captioner("train", "--features", features, "--output", model, *flags)
    captioner("caption", "--input", images, "--model", model, "--output", output)
    said = captioner("evaluate", "--captions", output, "--references", *collection)
    assert "4 images of the split 'test'" in said
    for made in (features, output):
        captioner("verify", made)
    captioner("compact", features, storage.join(bucket, "out/compact"))
    found = {record.id: record.caption for record in captions.read(output)}
    assert found.keys() == {file.name for file in (tmp_path / "scenes/Flicker8k_Dataset").iterdir()}
    one = min(found)
    assert captioner("caption", storage.join(images, one), "--model", model) == found[one] + "\n"
    assert FeatureDataset.load(storage.join(bucket, "out/compact")).counts["test"] == 4
    assert len(storage.read_bytes(storage.join(bucket, "out/descriptions.txt")).split(b"\n")) == 201
