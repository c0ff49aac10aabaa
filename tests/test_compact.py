"""Compacting: fewer shards that say the same, where the next run goes on as if nothing had been."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from captioner import captions, cli, shards
from captioner.captions import CaptionRecord
from captioner.compacting import compact
from captioner.errors import UserError
from captioner.records import FeatureDataset
from captioner.shards import newest
from captioner.verifying import verify
from tests.conftest import StubJob
from tests.outputs import CaptionJob, FeatureJob, grow


def content(directory: Path) -> dict[str, bytes]:
    """All files of a directory."""
    files = (path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


def failures(output: Path, settings: str) -> dict[str, dict[str, Any]]:
    """The failures that hold, by id."""
    holding = newest(str(output), settings)
    found = {}
    for file in (output / "failures").iterdir():
        for line in file.read_text().splitlines():
            row = json.loads(line)
            if holding[row["id"]] == file.name.rpartition("-")[0]:
                found[row["id"]] = row
    return found


def records(output: Path) -> dict[str, CaptionRecord]:
    """The captions that hold, by id."""
    return {record.id: record for record in captions.read(str(output))}


def assert_goes_on(job: StubJob, target: Path) -> None:
    """A further run into a compacted output has nothing to do, until there is something new."""
    job.output = target
    again = job.run()
    images = again["images"]
    assert (images["done"], images["failed"], again["shards"]) == (0, {}, [])
    assert images["skipped"] + images["failed_before"] == images["seen"]
    assert verify(str(target)).problems == []


@pytest.mark.parametrize(
    ("source", "wanted"), [("jsonl", "parquet"), ("parquet", "jsonl.gz"), ("jsonl.gz", "jsonl")]
)
def test_captions_survive(source: str, wanted: str, tmp_path: Path, picture) -> None:
    job = CaptionJob(tmp_path, source)
    grow(job, picture)
    before, failed = content(job.output), failures(job.output, job.settings)
    target = tmp_path / "new"
    manifest = compact(str(job.output), str(target), shard_size=4, format=wanted)
    assert content(job.output) == before
    assert records(target) == records(job.output) != {}
    assert failures(target, job.settings) == failed
    assert [len(list((target / "shards").glob(f"*.{wanted}"))), len(manifest["shards"])] == [3, 3]
    assert (manifest["images"]["done"], manifest["images"]["failed"]) == (9, {"empty": 2})
    assert verify(str(job.output)).problems == verify(str(target)).problems == []
    job.format = wanted
    assert_goes_on(job, target)
    picture(job.input / "later.png")
    assert job.run()["images"]["done"] == 1
    assert len(job.results()) == 10


def test_captions_of_other_settings_stay_where_nothing_newer_took_their_place(
    tmp_path: Path, picture
) -> None:
    job = CaptionJob(tmp_path)
    grow(job, picture)
    (job.input / "a/0.png").unlink()
    (job.input / "empty.png").unlink()
    job.settings = "settings-2"
    job.run()
    target = tmp_path / "new"
    compact(str(job.output), str(target))
    results, failed = job.results(), failures(job.output, job.settings)
    assert "a/0.png" in results and "empty.png" in failed
    assert failures(target, job.settings) == failed
    assert len(list((target / "shards").iterdir())) == 2
    job.output = target
    assert job.results() == results
    assert_goes_on(job, target)
    job.settings = "settings-1"
    assert job.run()["images"]["skipped"] == 0  # what settings-2 took the place of is gone


def test_features_survive(tmp_path: Path, picture) -> None:
    job = FeatureJob(tmp_path)
    job.spec = dataclasses.replace(job.spec, grid_size=1)
    picture(job.input / "other.png")
    job.run()
    (job.input / "other.png").unlink()
    job.spec = dataclasses.replace(job.spec, grid_size=0)
    grow(job, picture)
    before, results = content(job.output), job.results()
    old, target = FeatureDataset.load(str(job.output)), tmp_path / "new"
    compact(str(job.output), str(target), shard_size=5)
    assert content(job.output) == before
    assert verify(str(job.output)).problems == verify(str(target)).problems == []
    new = FeatureDataset.load(str(target))
    assert (new.counts, new.encoder, new.feature_shape) == (
        old.counts,
        old.encoder,
        old.feature_shape,
    )
    # Ten outcomes and one or two more; the last shard may hold nothing but failures.
    assert len(new.shards[""]) in (2, 3) and new.superseded == 0
    assert content(target / "encoders") == content(job.output / "encoders")
    job.output = target
    assert job.results() == results
    assert_goes_on(job, target)


def test_a_target_that_holds_something_is_refused(tmp_path: Path, picture) -> None:
    job = CaptionJob(tmp_path)
    picture(job.input / "0.png")
    job.run()
    target = tmp_path / "new"
    (target / "empty").mkdir(parents=True)
    compact(str(job.output), str(target))
    for full in (target, job.output / "new", job.output):
        with pytest.raises(UserError, match="choose another"):
            compact(str(job.output), str(full))


def test_an_interrupted_compact_does_not_look_finished(
    tmp_path: Path, picture, monkeypatch
) -> None:
    job = CaptionJob(tmp_path)
    grow(job, picture)
    target = tmp_path / "new"
    with monkeypatch.context() as patch:
        patch.setattr("captioner.compacting._manifest", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            compact(str(job.output), str(target))
    assert {problem.kind for problem in verify(str(target)).problems} == {"unfinished"}
    with pytest.raises(UserError, match="an earlier compact was interrupted"):
        compact(str(job.output), str(target))


@pytest.mark.parametrize(
    ("directory", "damage"),
    [
        ("shards", lambda file: file.write_bytes(b"")),
        ("shards", lambda file: file.write_bytes(file.read_bytes().replace(b'"en"', b'"de"'))),
        ("failures", lambda file: file.write_bytes(b"")),
        ("failures", lambda file: file.write_bytes(file.read_bytes().replace(b" ", b"  "))),
        ("failures", Path.unlink),
        ("index", lambda file: file.write_bytes(b"")),
        ("index", lambda file: file.write_bytes(file.read_bytes().replace(b"tru", b"fals"))),
        ("runs", lambda file: file.write_bytes(file.read_bytes()[:-9])),
    ],
)
def test_a_shard_that_is_not_whole_is_refused(
    directory: str, damage: Callable[[Path], object], tmp_path: Path, picture
) -> None:
    job = CaptionJob(tmp_path)
    picture(job.input / "0.png")
    (job.input / "empty.png").touch()
    job.run()
    damage(next((job.output / directory).iterdir()))
    with pytest.raises(UserError, match="captioner verify"):
        compact(str(job.output), str(tmp_path / "new"))


def test_what_a_running_job_finishes_meanwhile_is_left_to_it(
    tmp_path: Path, picture, monkeypatch
) -> None:
    job = CaptionJob(tmp_path)
    picture(job.input / "0.png")
    job.run()
    finished = shards.finished

    def finished_and_more(output: str) -> Iterator[str]:
        yield from finished(output)
        picture(job.input / f"{shards.new_run()}.png")
        with monkeypatch.context() as patch:
            patch.setattr(shards, "finished", finished)
            job.run()

    monkeypatch.setattr(shards, "finished", finished_and_more)
    compact(str(job.output), str(tmp_path / "new"))
    monkeypatch.undo()
    assert len(records(tmp_path / "new")) == 1
    assert len(records(job.output)) == 2


def test_the_command(tmp_path: Path, picture, capsys) -> None:
    job = CaptionJob(tmp_path)
    grow(job, picture)
    target = tmp_path / "new"
    arguments = ["compact", str(job.output), str(target), "--format", "parquet"]
    assert cli.main(arguments) == 0
    assert f"9 results and 2 failures are in 1 shard in {target}" in capsys.readouterr().out
    manifest = json.loads(next((target / "runs").iterdir()).read_text())
    assert manifest["asked"]["verb"] == "compact"
    assert manifest.keys() == job.run().keys()
    assert cli.main(arguments) == 2
    assert cli.main(["compact", str(tmp_path / "in"), str(tmp_path / "x")]) == 2


def test_features_have_no_format_to_choose(tmp_path: Path, picture) -> None:
    job = FeatureJob(tmp_path)
    picture(job.input / "0.png")
    job.run()
    with pytest.raises(UserError, match="--format is for captions"):
        compact(str(job.output), str(tmp_path / "new"), format="parquet")
