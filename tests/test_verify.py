"""Verifying: a whole output is clean, and whatever happens to a file of it is named."""

from __future__ import annotations

import gzip
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from captioner import cli
from captioner.compacting import compact
from captioner.verifying import verify
from tests.outputs import CaptionJob, FeatureJob, grow


def found(output: Path) -> set[tuple[str, str]]:
    """Files and kinds of the problems of an output."""
    return {(problem.file, problem.kind) for problem in verify(str(output)).problems}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a caption job over four images, one of which failed, has run: a single shard."""
    job = CaptionJob(tmp_path_factory.mktemp("job"))
    for number in range(3):
        Image.new("RGB", (12, 8), (number, 0, 0)).save(job.input / f"{number}.png")
    (job.input / "empty.png").touch()
    job.run()
    return job.input.parent


@pytest.fixture
def captioned(finished: Path, tmp_path: Path) -> Path:
    """Its output, a copy."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    return tmp_path / "out"


@pytest.fixture
def features(tmp_path: Path, picture) -> FeatureJob:
    """A feature job that has run."""
    job = FeatureJob(tmp_path)
    for number in range(6):
        picture(job.input / f"{number}.png")
    job.run()
    return job


def only(output: Path, directory: str) -> Path:
    """The one file in a directory of an output."""
    (file,) = (output / directory).iterdir()
    return file


def latest(directory: Path) -> Path:
    """The file in a directory that was written last."""
    return max(directory.iterdir(), key=lambda file: file.stat().st_mtime_ns)


def alter(file: Path, old: str, new: str) -> None:
    """Replace a text of a file."""
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "parquet", "features"])
def test_an_output_of_several_runs_is_clean(kind: str, tmp_path: Path, picture) -> None:
    job = FeatureJob(tmp_path) if kind == "features" else CaptionJob(tmp_path, kind)
    grow(job, picture)
    report = verify(str(job.output))
    assert report.problems == []
    assert (report.done, report.failed) == (12, 3)
    assert report.shards == len(list((job.output / "shards").iterdir()))
    assert str(report).endswith("shards with 12 results and 3 failures: all is well")


@pytest.mark.parametrize(
    ("directory", "kind", "damage"),
    [
        ("shards", "missing", Path.unlink),
        ("shards", "truncated", lambda file: file.write_bytes(file.read_bytes()[:-9])),
        ("shards", "altered", lambda file: alter(file, "the colour", "the flavour")),
        ("index", "missing", Path.unlink),
        ("index", "unreadable", lambda file: file.write_bytes(file.read_bytes()[:-9])),
        ("index", "altered", lambda file: alter(file, '"permanent": true', '"permanent": false')),
        ("index", "altered", lambda file: alter(file, '"done": 3', '"done": 4')),
        ("failures", "missing", Path.unlink),
        ("failures", "unreadable", lambda file: file.write_bytes(b"?\n")),
        ("failures", "altered", lambda file: alter(file, '"empty.png"', '"other.png"')),
        ("failures", "altered", lambda file: file.write_bytes(b"")),
        ("failures", "altered", lambda file: alter(file, '"reason": "empty"', '"reason": "gone"')),
        ("failures", "altered", lambda file: alter(file, '"source": ""', '"source": "a.tar"')),
        ("runs", "unreadable", lambda file: file.write_bytes(file.read_bytes()[:-9])),
        ("runs", "altered", lambda file: alter(file, '"done": 3', '"done": 4')),
        ("runs", "altered", lambda file: alter(file, '"seen": 4', '"seen": 5')),
        ("runs", "altered", lambda file: alter(file, '"skipped": 0', '"skipped": 1')),
        ("runs", "altered", lambda file: alter(file, '"failed_before": 0', '"failed_before": 1')),
        ("runs", "altered", lambda file: alter(file, '"deduplicated": 0', '"deduplicated": 1')),
        ("runs", "altered", lambda file: alter(file, '"empty": 1', '"corrupt": 1')),
        ("runs", "altered", lambda file: alter(file, '"settings-1"', '"settings-2"')),
        ("runs", "altered", lambda file: alter(file, file.stem, "20261120T175903.766085Z-1cd9aa")),
        ("runs", "unreadable", lambda file: file.write_bytes(b"[]")),
        ("runs", "unreadable", lambda file: alter(file, '"format": 1', '"format": 2')),
    ],
)
def test_a_damaged_file_is_named(
    captioned: Path, directory: str, kind: str, damage: Callable[[Path], object]
) -> None:
    file = only(captioned, directory)
    damage(file)
    assert (f"{directory}/{file.name}", kind) in found(captioned)


@pytest.mark.parametrize(
    "name", ["notes.txt", "images-0123.jsonl", "a/images-0123456789abcdef.jsonl"]
)
def test_what_no_job_calls_so_is_stray(captioned: Path, name: str) -> None:
    for directory in ("index", "failures"):
        file = captioned / directory / name
        file.parent.mkdir(exist_ok=True)
        file.touch()
    assert found(captioned) == {(f"index/{name}", "stray"), (f"failures/{name}", "stray")}


def mend(output: Path) -> int:
    """Delete what the problems of an output say, as a person would; how many files there were."""
    deleted = 0
    for problem in verify(str(output)).problems:
        assert "command again" in problem.detail
        told = re.search("; delete (.+?),? and run th(e|at) job's", problem.detail)
        files = told[1].split(" and ") if told else []
        for file in (output / (problem.file if name == "it" else name) for name in files):
            deleted += file.exists()
            file.unlink(missing_ok=True)
    return deleted


@pytest.mark.parametrize(
    ("kind", "damage"),
    [
        ("jsonl", {"shards": Path.unlink}),
        ("jsonl", {"shards": lambda file: file.write_bytes(file.read_bytes()[:-9])}),
        ("jsonl", {"index": lambda file: file.write_bytes(b"")}),
        ("jsonl", {"failures": lambda file: alter(file, '"empty"', '"gone"')}),
        ("jsonl", {"runs": lambda file: file.write_bytes(b"")}),
        ("jsonl", {"shards": Path.unlink, "index": Path.unlink}),
        ("jsonl", {"shards": Path.unlink, "attempts": Path.unlink}),
        ("features", {"shards": lambda file: file.write_bytes(b"?" + file.read_bytes()[1:])}),
        ("features", {"index": lambda file: alter(file, '"permanent": t', '"permanent":  t')}),
        ("features", {"failures": Path.unlink}),
        ("features", {"runs": lambda file: alter(file, '"seen": 3', '"seen": 5')}),
    ],
)
def test_what_a_problem_says_to_do_mends_it(
    kind: str, damage: dict[str, Callable[[Path], object]], tmp_path: Path, picture
) -> None:
    job = FeatureJob(tmp_path) if kind == "features" else CaptionJob(tmp_path)
    for number in range(2):
        picture(job.input / f"{number}.png")
    (job.input / "empty.png").touch()
    job.run()
    results = job.results()
    for _ in range(2):
        for file in [latest(job.output / directory) for directory in damage]:
            damage[file.parent.name](file)
        assert found(job.output) != set()
        mend(job.output)
        job.run()
        assert verify(str(job.output)).problems == []
        assert job.results() == results


def test_a_shard_that_was_done_anew_is_superseded_and_no_problem(features: FeatureJob) -> None:
    lost = next((features.output / "shards").iterdir())
    lost.unlink()
    problems = {problem.file: problem.detail for problem in verify(str(features.output)).problems}
    assert "run the job's command again" in problems[f"shards/{lost.name}"]
    features.run()
    report = verify(str(features.output))
    assert (report.problems, report.superseded, report.leftovers) == ([], 1, 0)
    assert str(report).endswith("well (1 shard gone and done anew, harmless)")


def test_a_shard_is_missing_while_any_of_its_images_has_no_newer_outcome(
    tmp_path: Path, picture
) -> None:
    job = CaptionJob(tmp_path)
    for number in range(3):
        picture(job.input / f"{number}.png")
    job.run()
    lost = only(job.output, "shards")
    lost.unlink()
    (job.input / "2.png").unlink()
    job.run()
    assert found(job.output) == {(f"shards/{lost.name}", "missing")}
    compact(str(job.output), str(tmp_path / "new"))
    assert found(tmp_path / "new") == set()


def test_a_compacted_output_is_mended_too(captioned: Path, tmp_path: Path) -> None:
    job = CaptionJob.__new__(CaptionJob)
    job.__dict__.update(input=tmp_path / "in", log=tmp_path / "loads.txt", settings="settings-1")
    job.output, job.format = tmp_path / "new", "jsonl"
    compact(str(captioned), str(job.output))
    file = only(job.output, "shards")
    alter(file, "the colour", "the flavour")
    assert mend(job.output) == 1
    job.run()
    assert verify(str(job.output)).problems == []
    assert job.results().keys() == {"0.png", "1.png", "2.png"}


def test_nothing_but_the_damaged_file_is_named(captioned: Path) -> None:
    file = only(captioned, "shards")
    alter(file, "the colour", "the flavour")
    assert found(captioned) == {(f"shards/{file.name}", "altered")}


def test_data_that_no_index_knows_is_stray(captioned: Path) -> None:
    (captioned / "shards/images-0123.jsonl").write_text("{}\n")
    assert found(captioned) == {("shards/images-0123.jsonl", "stray")}


def test_finished_shards_of_a_killed_run_are_unfinished_until_a_run_adopts_them(
    tmp_path: Path, picture
) -> None:
    job = CaptionJob(tmp_path)
    grow(job, picture)
    for manifest in (job.output / "runs").iterdir():
        manifest.unlink()
    problems = found(job.output)
    assert {kind for _, kind in problems} == {"unfinished"}
    assert len(problems) == len(list((job.output / "shards").iterdir()))
    job.run()
    assert found(job.output) == set()


def test_an_unfinished_shard_of_settings_that_are_no_longer_used_can_be_got_rid_of(
    tmp_path: Path, picture
) -> None:
    job = CaptionJob(tmp_path)
    picture(job.input / "0.png")
    job.run()
    only(job.output, "runs").unlink()
    file = only(job.output, "shards")
    job.settings = "settings-2"
    job.run()
    (problem,) = verify(str(job.output)).problems
    assert (problem.file, problem.kind) == (f"shards/{file.name}", "unfinished")
    assert "delete it or `captioner compact`" in problem.detail
    compact(str(job.output), str(tmp_path / "new"))
    file.unlink()
    assert found(job.output) == found(tmp_path / "new") == set()


def test_unfinished_data_that_was_cut_short_is_not_what_its_index_says(captioned: Path) -> None:
    only(captioned, "runs").unlink()
    file = only(captioned, "shards")
    file.write_bytes(file.read_bytes()[:-9])
    assert found(captioned) == {(f"shards/{file.name}", "altered")}


def test_data_that_is_no_gzip_is_unreadable_even_where_all_checksums_are_right(
    tmp_path: Path, picture, monkeypatch
) -> None:
    class Broken(gzip.GzipFile):
        def __init__(self, path: str) -> None:
            self.path = path
            super().__init__(path, "wb")

        def close(self) -> None:
            super().close()
            Path(self.path).write_bytes(Path(self.path).read_bytes()[:-9])

    job = CaptionJob(tmp_path, "jsonl.gz")
    picture(job.input / "0.png")
    from captioner import captions

    broken = captions.FORMATS["jsonl.gz"]._replace(open_spool=Broken)
    with monkeypatch.context() as patch:
        patch.setitem(captions.FORMATS, "jsonl.gz", broken)
        job.run()
    assert found(job.output) == {(f"shards/{only(job.output, 'shards').name}", "unreadable")}


def test_what_killed_attempts_left_is_counted_and_no_problem(captioned: Path) -> None:
    index = only(captioned, "index")
    for directory in ("index", "failures"):
        for task in (index.name.rpartition("-")[0], "images-4567"):
            name = f"{task}-0123456789abcdef.jsonl"
            (captioned / directory / name).write_text("half of i")
    report = verify(str(captioned))
    assert (report.problems, report.leftovers) == ([], 4)
    assert "4 files left by killed attempts" in str(report)


def test_the_command_ends_with_4_if_there_is_a_problem(captioned: Path, tmp_path, capsys) -> None:
    assert cli.main(["verify", str(captioned)]) == 0
    assert "1 shard with 3 results and 1 failure: all is well" in capsys.readouterr().out
    index = only(captioned, "index")
    index.unlink()
    assert cli.main(["verify", str(captioned)]) == 4
    said = capsys.readouterr()
    assert f"index/{index.name}: missing: " in said.out
    assert said.err == f"error: {captioned}: 1 problem, named above\n"
    assert cli.main(["verify", str(tmp_path / "in")]) == 2


def test_features_are_checked_with_their_dataset(features: FeatureJob) -> None:
    output = features.output
    dataset = output / "dataset.json"
    whole = dataset.read_text()
    dataset.unlink()
    assert found(output) == {("dataset.json", "missing")}
    dataset.write_text(whole[:-9])
    assert found(output) == {("dataset.json", "unreadable")}
    for old, new in ((": 6", ": 7"), ('"superseded": 0', '"superseded": 1')):
        dataset.write_text(whole.replace(old, new))
        assert found(output) == {("dataset.json", "stale")}
    dataset.write_text(whole.replace("3\n ],", "4\n ],"))
    assert found(output) == {("dataset.json", "altered")}
    values = json.loads(whole)
    values["shards"][""].append("shards/images-0123.tfrecord.gz")
    dataset.write_text(json.dumps(values))
    assert ("shards/images-0123.tfrecord.gz", "missing") in found(output)


def test_the_weights_of_the_encoder_are_checked(features: FeatureJob) -> None:
    weights = only(features.output, "encoders")
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-99])
    assert found(features.output) == {(f"encoders/{weights.name}", "altered")}
    weights.unlink()
    assert found(features.output) == {(f"encoders/{weights.name}", "missing")}
