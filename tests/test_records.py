"""Feature records: written and read back, by hand and as `tf.data`."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from captioner import datafiles, records, storage
from captioner.encoders import EncoderSpec, NetworkSpec
from captioner.errors import UserError
from captioner.records import FeatureDataset, FeatureRecord
from captioner.shards import Failure, Outcome, ShardWriter, Summary
from captioner.storage import copies
from tests import toy_features

GOLDEN = Path(__file__).parent / "golden"
XCEPTION = NetworkSpec("xception", "", 299, "imagenet")
SPEC = EncoderSpec((XCEPTION,), "pooled", 0, "float32", "b4f404588b728cad")

text = st.text(st.characters(exclude_categories=["Cs"]))


@given(
    st.builds(
        FeatureRecord,
        id=text,
        uri=text,
        content_hash=text,
        width=st.integers(1, 10**6),
        height=st.integers(1, 10**6),
        features=arrays.arrays(
            np.float16,
            arrays.array_shapes(min_dims=1, max_dims=3),
            elements=st.floats(width=16, allow_nan=False, allow_infinity=False),
        ),
        captions=st.lists(text).map(tuple),
        languages=st.lists(text).map(tuple),
        split=text,
    )
)
def test_records_survive_being_written(record: FeatureRecord) -> None:
    found = FeatureRecord.from_bytes(record.to_bytes())
    assert np.array_equal(found.features, record.features)
    for field in dataclasses.fields(record):
        if field.name != "features":
            assert getattr(found, field.name) == getattr(record, field.name)


def test_features_beyond_float16_are_clipped_not_infinite() -> None:
    record = FeatureRecord("a", "/a", "", 1, 1, np.array([1e6, -1e6, 1.0], np.float32))
    features = FeatureRecord.from_bytes(record.to_bytes()).features
    assert features.tolist() == [65504.0, -65504.0, 1.0]


def test_the_golden_shard_can_be_read() -> None:
    (record,) = records.read_shard(str(GOLDEN / "features.tfrecord.gz"))
    assert record.id == "a/één.jpg"
    assert record.uri == "gs://bucket/a/één.jpg"
    assert record.content_hash == "ab" * 32
    assert (record.width, record.height) == (640, 480)
    assert record.features.dtype == np.float16
    assert record.features.tolist() == [[[0.0, 0.5]], [[1.5, -2.0]]]
    assert record.captions == ("A dog runs .", "Ein Hund läuft .", "?")
    assert record.languages == ("en", "de", "")
    assert record.split == "train"


def test_the_golden_dataset_can_be_read() -> None:
    dataset = FeatureDataset.load(str(GOLDEN))
    assert dataset.encoder == dataclasses.replace(SPEC, features="grid", grid_size=2)
    assert dataset.feature_shape == (2, 1, 2)
    assert dataset.counts == {"train": 1}
    (record,) = dataset.records("train").as_numpy_iterator()
    assert record["features"].tolist() == [[[0.0, 0.5]], [[1.5, -2.0]]]
    assert [text.decode() for text in record["languages"]] == ["en", "de", ""]
    captions = ("A dog runs .", "Ein Hund läuft .", "?")
    assert list(dataset.captions("train")) == [("a/één.jpg", captions)]


def test_where_no_language_is_known_each_is_empty(dataset) -> None:
    (record,) = dataset({"t1": ("run1", {"a": 1.0})}).records("train").as_numpy_iterator()
    assert record["captions"].tolist() == [b"a a"]
    assert record["languages"].tolist() == [b""]


@pytest.fixture
def dataset(tmp_path: Path) -> Callable[..., FeatureDataset]:
    """Writes shards, {task: (run, {id: feature value, or None for a failure})}, as a dataset."""

    def write(tasks: dict[str, tuple[str, dict[str, float | None]]]) -> FeatureDataset:
        for task, (run, images) in tasks.items():
            file = f"shards/{task}.{datafiles.FEATURES}"
            summary = Summary(task, file, run, SPEC.fingerprint, "train")
            writer = ShardWriter(str(tmp_path), summary, records.open_spool)
            for id, value in images.items():
                outcome = Outcome(id, f"/in/{id}", "1:1", "", "" if value else "empty", False)
                features = np.full(4, value or 0, np.float32)
                record = FeatureRecord(id, f"/in/{id}", "", 1, 1, features, (f"a {id}",), "train")
                if value is None:
                    failure = Failure(id, f"/in/{id}", "", "decode", "empty", "", True, run)
                    writer.add_failure(outcome, failure)
                else:
                    writer.add_result(outcome, record.to_bytes())
            writer.publish()
        files = tuple(f"shards/{task}.{datafiles.FEATURES}" for task in sorted(tasks))
        counts = {"train": len({id for _, images in tasks.values() for id in images})}
        superseded = sum(len(images) for _, images in tasks.values()) - counts["train"]
        FeatureDataset(
            str(tmp_path), SPEC, str(tmp_path / "w.h5"), (4,), counts, {"train": files}, superseded
        ).save()
        return FeatureDataset.load(str(tmp_path))

    return write


def _values(found: FeatureDataset, **options: int) -> dict[str, float]:
    return {
        record["id"].decode(): float(record["features"][0])
        for record in found.records("train", **options).as_numpy_iterator()
    }


def test_every_record_comes_once_a_pass(dataset) -> None:
    found = dataset({"t1": ("run1", {"a": 1.0, "b": 2.0}), "t2": ("run1", {"c": 3.0})})
    assert _values(found) == {"a": 1.0, "b": 2.0, "c": 3.0}
    assert _values(found, shuffle_seed=1) == {"a": 1.0, "b": 2.0, "c": 3.0}
    assert list(found.records("dev")) == []


def test_superseded_records_are_skipped(dataset) -> None:
    found = dataset(
        {"t1": ("run1", {"a": 1.0, "b": 2.0, "c": 3.0}), "t2": ("run2", {"b": 20.0, "c": None})}
    )
    assert _values(found) == {"a": 1.0, "b": 20.0}


@pytest.fixture(params=["s3", pytest.param("gs", marks=pytest.mark.engines)])
def remote(request: pytest.FixtureRequest, dataset, tmp_path: Path) -> str:
    """A dataset in a bucket; of one image there is a newer record."""
    dataset({"t1": ("run1", {"a": 1.0, "b": 2.0}), "t2": ("run2", {"b": 20.0})})
    uri = f"{request.getfixturevalue(f'{request.param}_bucket')}/{tmp_path.name}"
    for file in filter(Path.is_file, tmp_path.rglob("*")):
        storage.create(storage.join(uri, str(file.relative_to(tmp_path))), file)
    return uri


def test_a_dataset_in_a_bucket_is_copied_once(remote: str) -> None:
    found = FeatureDataset.load(remote)
    assert _values(found) == {"a": 1.0, "b": 20.0}
    for file in found.shards["train"]:
        storage.replace(storage.join(remote, file), b"no longer read")
    assert _values(found) == {"a": 1.0, "b": 20.0}


def test_a_dataset_without_room_is_streamed_or_copied_all_the_same(remote, monkeypatch) -> None:
    """TensorFlow's file system for ``gs://`` knows no emulator: see tests/test_buckets.py."""
    monkeypatch.setattr(copies, "room", lambda: 0)
    found = FeatureDataset.load(remote)
    assert _values(found) == {"a": 1.0, "b": 20.0}
    files = [storage.join(remote, file) for file in found.shards["train"]]
    assert (storage.for_tensorflow(files) == files) == remote.startswith("s3://")


def test_what_tensorflow_cannot_read_is_said_before_training(s3_bucket: str, monkeypatch) -> None:
    monkeypatch.setattr(copies, "room", lambda: -1)
    with pytest.raises(UserError, match="/gone: TensorFlow can't read it .* set TMPDIR"):
        storage.for_tensorflow([f"{s3_bucket}/gone"])


def test_a_missing_shard_in_a_bucket_is_said(remote: str) -> None:
    found = FeatureDataset.load(remote)
    gone = dataclasses.replace(found, shards={"train": ("shards/gone.tfrecord.gz",)})
    with pytest.raises(UserError, match="shards/gone.tfrecord.gz: a shard is missing"):
        gone.records("train")


def test_a_dataset_can_be_moved(dataset, tmp_path: Path) -> None:
    dataset({"t1": ("run1", {"a": 1.0})})
    moved = tmp_path.parent / f"{tmp_path.name}-moved"
    shutil.move(tmp_path, moved)
    found = FeatureDataset.load(str(moved))
    assert _values(found) == {"a": 1.0}
    assert found.encoder_weights == str(moved / "w.h5")


def test_a_directory_without_features_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="captioner extract"):
        FeatureDataset.load(str(tmp_path))


def test_a_dataset_of_another_version_is_refused(dataset, tmp_path: Path) -> None:
    dataset({"t1": ("run1", {"a": 1.0})})
    file = tmp_path / "dataset.json"
    file.write_text(file.read_text().replace('"format": 1', '"format": 99'))
    with pytest.raises(UserError, match="another version"):
        FeatureDataset.load(str(tmp_path))


def test_a_shard_that_is_missing_is_told(tmp_path: Path) -> None:
    dataset = toy_features.write(f"{tmp_path}/features", {"train": 2})
    (tmp_path / "features/shards/train.tfrecord.gz").unlink()
    with pytest.raises(UserError, match="a shard is missing"):
        dataset.records("train")
