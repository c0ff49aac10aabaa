"""The dataset that a run derives at its end."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from captioner import records
from captioner.records import FeatureDataset, FeatureRecord
from captioner.shards import Outcome, ShardWriter, Summary
from pipelines.extract_features import SaveDataset
from tests import toy_features

SETTINGS = toy_features.encoder().spec.fingerprint


def _shard(output: Path, run: str, ids: list[str], settings: str = SETTINGS) -> Summary:
    summary = Summary(f"train-{run}", f"shards/train-{run}.tfrecord.gz", run, settings, "train")
    writer = ShardWriter(str(output), summary, records.open_spool)
    for id in ids:
        record = FeatureRecord(id, f"/in/{id}", "hash", 1, 1, np.zeros(4, np.float16), (), "train")
        writer.add_result(Outcome(id, f"/in/{id}", "1:1", "hash", "", False), record.to_bytes())
    return writer.publish()


def _save(output: Path, made: Summary, kept: list[Summary], current: dict[str, int]) -> None:
    save = SaveDataset(str(output), toy_features.encoder().spec, f"{output}/e.weights.h5", (4,))
    save({"shards": [dataclasses.asdict(made)], "current": current}, [made, *kept])


def _ids(output: Path) -> list[str]:
    found = FeatureDataset.load(str(output)).records("train").as_numpy_iterator()
    return sorted(record["id"].decode() for record in found)


def test_what_a_run_made_and_what_it_kept(tmp_path: Path) -> None:
    kept = _shard(tmp_path, "run1", ["a", "b"])
    _save(tmp_path, _shard(tmp_path, "run2", ["c"]), [kept], {"train": 2})
    assert FeatureDataset.load(str(tmp_path)).counts == {"train": 3}
    assert _ids(tmp_path) == ["a", "b", "c"]


def test_what_another_run_finished_meanwhile(tmp_path: Path) -> None:
    _shard(tmp_path, "run2", ["b", "c"])
    _shard(tmp_path, "run3", ["other"], "of another encoder")
    _save(tmp_path, _shard(tmp_path, "run1", ["a", "b"]), [], {})
    dataset = FeatureDataset.load(str(tmp_path))
    assert (dataset.counts, dataset.superseded) == ({"train": 3}, 1)
    assert _ids(tmp_path) == ["a", "b", "c"]
