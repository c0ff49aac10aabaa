"""The jobs' graph: nothing lost, nothing twice, nothing again; and one fused stage."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import subprocess
import sys
import textwrap
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from captioner import shards, storage
from captioner.errors import TooManyFailures, UserError
from captioner.tasks import Reference, Task, shared_id
from pipelines import estimating, jobs, watching
from pipelines.job import MaxFailures
from tests.conftest import to_line, wait_until


def _fill(stub, picture: Callable[..., Path], count: int) -> set[str]:
    return {picture(stub.input / f"{n % 3}/{n}.png").relative_to(stub.input).as_posix()
            for n in range(count)}  # fmt: skip


def test_each_input_ends_as_one_result_or_one_failure(stub, picture) -> None:
    good = _fill(stub, picture, 10)
    (stub.input / "empty.jpg").touch()
    (stub.input / "note.txt").write_text("no picture")
    whole = (stub.input / "0/0.png").read_bytes()
    (stub.input / "broken.png").write_bytes(whole[: len(whole) // 2])
    manifest = stub.run()
    assert set(stub.results()) == good
    assert stub.failures() == {
        "empty.jpg": "empty",
        "note.txt": "not_an_image",
        "broken.png": "truncated",
    }
    assert manifest["images"] == {
        "seen": 13,
        "done": 10,
        "deduplicated": 0,
        "failed": {"empty": 1, "not_an_image": 1, "truncated": 1},
        "skipped": 0,
        "failed_before": 0,
        "absent": 0,
    }
    assert sum(shard["done"] for shard in manifest["shards"]) == 10
    for shard in manifest["shards"]:
        assert (stub.output / shard["file"]).stat().st_size == shard["size"]


def test_a_manifest_has_the_shape_of_the_golden_one(stub, picture) -> None:
    _fill(stub, picture, 3)
    golden = json.loads((Path(__file__).parents[1] / "golden/run.json").read_text())
    manifest = stub.run()
    assert manifest["format"] == golden["format"]
    assert list(manifest) == list(golden)
    assert list(manifest["versions"]) == list(golden["versions"])
    assert list(manifest["images"]) == list(golden["images"])
    assert list(manifest["shards"][0]) == list(golden["shards"][0])


def test_results_are_those_of_their_own_image(stub, picture) -> None:
    colours = {f"{n}.png": [n, 2 * n, 255 - n] for n in range(20)}
    for name, colour in colours.items():
        picture(stub.input / name, tuple(colour))
    stub.run()
    assert stub.results() == colours


def test_a_second_run_does_nothing_again(stub, picture) -> None:
    _fill(stub, picture, 10)
    (stub.input / "empty.jpg").touch()
    stub.run()
    before = stub.results()
    for file in stub.input.rglob("*.png"):
        file.chmod(0)  # a read would fail for everyone but root
    manifest = stub.run()
    assert manifest["images"]["skipped"] == 10
    assert manifest["images"]["failed_before"] == 1
    assert manifest["images"]["done"] == 0 and manifest["images"]["failed"] == {}
    assert manifest["seconds_by_stage"] == manifest["models"] == {}
    assert stub.results() == before
    assert stub.log.read_text() == "loaded\n"


def test_new_changed_and_deleted_images(stub, picture) -> None:
    _fill(stub, picture, 6)
    stub.run()
    picture(stub.input / "new.png", (1, 2, 3))
    changed = picture(stub.input / "1/1.png", (9, 9, 9))
    os.utime(changed, (1, 1))
    (stub.input / "2/2.png").unlink()
    manifest = stub.run()
    assert manifest["images"]["done"] == 2
    assert manifest["images"]["skipped"] == 4
    assert manifest["images"]["absent"] == 1
    newest = shards.newest(str(stub.output), stub.settings)
    found = {
        line["id"]: line["colour"]
        for id, task in newest.items()
        for line in map(json.loads, (stub.output / f"shards/{task}.jsonl").read_text().splitlines())
        if line["id"] == id
    }
    assert len(found) == 7
    assert found["1/1.png"] == [9, 9, 9] and found["new.png"] == [1, 2, 3]


def test_other_settings_do_everything_again(stub, picture) -> None:
    _fill(stub, picture, 5)
    stub.run()
    stub.settings = "settings-2"
    assert stub.run()["images"]["done"] == 5
    assert stub.run()["images"]["skipped"] == 5


def test_passing_failures_are_tried_again_and_permanent_ones_not(stub, picture) -> None:
    names = _fill(stub, picture, 3)
    (stub.input / "empty.jpg").touch()
    picture(stub.input / "poisoned.png", (66, 66, 66))
    assert stub.run(poison=66)["images"]["failed"] == {"empty": 1, "inference_failed": 1}
    manifest = stub.run()
    assert manifest["images"]["done"] == 1 and manifest["images"]["failed_before"] == 1
    assert set(stub.results()) == names | {"poisoned.png"}


def test_what_keeps_failing_is_tried_each_time_and_stops_nothing(stub, picture) -> None:
    names = _fill(stub, picture, 3)
    picture(stub.input / "poisoned.png", (66, 66, 66))
    for _ in range(3):
        assert stub.run(poison=66)["images"]["failed"] == {"inference_failed": 1}
    assert stub.run()["images"]["done"] == 1
    assert set(stub.results()) == names | {"poisoned.png"}


def test_going_back_to_what_was_done_before_is_done_again(stub, picture) -> None:
    path = picture(stub.input / "a.png", (1, 1, 1))
    first = path.read_bytes()
    for colour, content in [(1, first), (2, None), (1, first)]:
        picture(path, (colour,) * 3) if content is None else path.write_bytes(content)
        os.utime(path, (colour, colour))
        assert stub.run()["images"]["done"] == 1
    newest = shards.newest(str(stub.output), stub.settings)["a.png"]
    assert json.loads((stub.output / f"shards/{newest}.jsonl").read_text())["colour"] == [1, 1, 1]


def test_a_network_that_cannot_be_loaded_costs_no_image(stub, picture) -> None:
    _fill(stub, picture, 3)
    stub.log.mkdir()  # loading writes to it
    with pytest.raises(Exception, match="Is a directory"):
        stub.run()
    assert not (stub.output / "failures").exists()


def test_force_does_all_again(stub, picture) -> None:
    names = _fill(stub, picture, 5)
    (stub.input / "empty.jpg").touch()
    stub.run()
    for _ in range(2):
        images = stub.run(force=True)["images"]
        assert (images["done"], images["failed"], images["skipped"]) == (5, {"empty": 1}, 0)
    assert stub.run()["images"]["skipped"] == 5
    newest = shards.newest(str(stub.output), stub.settings)
    assert set(newest) == names | {"empty.jpg"}


def test_names_that_look_the_same_lose_no_image(stub, picture) -> None:
    names = {unicodedata.normalize(form, "é/ü.png") for form in ("NFC", "NFD")}
    for name in names:
        picture(stub.input / name)
    (stub.input / "x\\xff.png").symlink_to(stub.input / min(names))
    os.symlink(stub.input / max(names), os.fsencode(stub.input) + b"/x\xff.png")
    assert stub.run()["images"]["done"] == 4
    assert {shared_id(id) for id in stub.results()} == {
        unicodedata.normalize("NFC", min(names)),
        "x\\xff.png",
    }
    assert stub.run()["images"] == stub.run()["images"]
    assert stub.run()["images"]["skipped"] == 4


def test_what_was_begun_and_not_finished_is_suspect_the_next_time(stub, picture) -> None:
    names = sorted(_fill(stub, picture, 9))
    job = stub.job()
    known = [Reference(name, str(stub.input / name), "1:1") for name in names[:2]]
    task = Task.of(known, stub.settings)
    plan = task.publish(job.plan, "images-00000")
    storage.create(storage.join(job.output, "attempts", task.id), plan.encode())
    manifest = stub.run()
    suspects = [file for file in stub.output.glob(f"plans/{manifest['run']}/*suspects*.json")]
    (found,) = [Task.read(str(file)) for file in suspects]
    assert [reference.id for reference in found.references] == names[:2]
    assert set(stub.results()) == set(names)


@pytest.mark.parametrize("dedupe", [None, "content"])
def test_the_same_bytes_in_many_shards_once_when_asked(stub, picture, dedupe: str | None) -> None:
    for n in range(40):
        picture(stub.input / f"{n}.png", (n % 4, 7, 7))
    images = stub.run(shard_size=4, dedupe=dedupe)["images"]
    assert images["done"] == 40
    assert images["deduplicated"] == 36 if dedupe else images["deduplicated"] < 36


def test_the_same_bytes_go_through_the_network_once(stub, picture) -> None:
    for n in range(4):
        picture(stub.input / f"{n}.png", (7, 7, 7))
    manifest = stub.run(shard_size=100)
    assert manifest["images"]["done"] == 4 and manifest["images"]["deduplicated"] == 3
    assert set(stub.results()) == {f"{n}.png" for n in range(4)}
    assert set(map(tuple, stub.results().values())) == {(7, 7, 7)}


def test_a_list_is_an_input_and_keeps_its_lines_as_ids(stub, picture) -> None:
    one = picture(stub.input / "one [1].png")
    picture(stub.input / "two.png")
    listed = stub.input.parent / "list.txt"
    listed.write_text(f"{one}\nin/two.png\nin/gone.png\nin/two.png\n\n")
    stub.run(input=str(listed))
    assert set(stub.results()) == {str(one), "in/two.png"}
    assert stub.failures() == {"in/gone.png": "missing"}


def test_nothing_to_do_is_a_run_too(stub) -> None:
    manifest = stub.run()
    assert manifest["images"]["seen"] == 0 and manifest["shards"] == []


def test_a_network_that_fails_for_all_stops_the_job(stub, picture) -> None:
    for n in range(4):
        picture(stub.input / f"{n}.png", (66, 66, n))
    with pytest.raises(Exception, match="every image fails: ValueError: poisoned"):
        stub.run(poison=66)
    assert not (stub.output / "shards").exists()


def test_where_there_is_no_terminal_lines_say_how_far_it_is(stub, capsys) -> None:
    job = stub.job()
    storage.create(f"{job.output}/shards/earlier.jsonl", b"")
    with watching.watching(job, later=0.01):
        storage.create(f"{job.output}/shards/one.jsonl", b"")
        storage.create(f"{job.plan}/counts.json", b'{"images": 3000, "shards": {"": 3}}')
        wait_until(lambda: "1,000 of 3,000 images\n" in capsys.readouterr().out, 30)
        storage.create(f"{job.output}/shards/two.jsonl", b"")
        line = re.compile(r"2,000 of 3,000 images, [\d.]+ a second, 0:\d\d:\d\d left\n")
        wait_until(lambda: line.search(capsys.readouterr().out), 30)


def test_a_store_that_fails_for_all_stops_the_job(stub, picture) -> None:
    for n in range(20):  # can be opened, and the first read of it fails
        (stub.input / f"{n}.png").symlink_to("/proc/self/mem")
    with pytest.raises(UserError, match="none of 20 images could be read.* OSError"):
        stub.run(shard_size=20)
    assert not (stub.output / "shards").exists()


def test_a_few_that_cannot_be_read_stop_nothing(stub, picture) -> None:
    names = _fill(stub, picture, 3)
    stub.run()
    for n in range(3):
        (stub.input / f"directory {n}").symlink_to(stub.input)
    for _ in range(2):
        assert stub.run()["images"]["failed"] == {"unreadable": 3}
    assert set(stub.results()) == names


@pytest.mark.parametrize(
    ("allowed", "is_too_many"), [("2", True), ("3", False), ("29%", True), ("30%", False)]
)
def test_too_many_failures_are_an_error_and_cost_no_result(
    stub, picture, allowed: str, is_too_many: bool
) -> None:
    names = _fill(stub, picture, 7)
    for n in range(3):
        (stub.input / f"empty{n}.jpg").touch()
    expected = pytest.raises(TooManyFailures, match=r"3 of 10 images failed \(3 empty\)")
    with expected if is_too_many else contextlib.nullcontext():
        stub.run(max_failures=MaxFailures.parse(allowed))
    assert set(stub.results()) == names
    assert stub.run(max_failures=MaxFailures.parse("0"))["images"]["failed_before"] == 3


def test_failures_of_a_run_that_was_killed_count_once(stub, picture) -> None:
    _fill(stub, picture, 7)
    for n in range(3):
        (stub.input / f"empty{n}.jpg").touch()
    stub.run()
    (manifest,) = (stub.output / "runs").iterdir()
    manifest.unlink()  # as if it had been killed just before
    with pytest.raises(TooManyFailures, match="3 of 10 images failed"):
        stub.run(max_failures=MaxFailures.parse("2"))
    stub.run(max_failures=MaxFailures.parse("2"))


@pytest.mark.parametrize("count", [1, 5, 80])
def test_a_dry_run_tells_what_a_run_would_do(stub, picture, count: int) -> None:
    _fill(stub, picture, count)
    (stub.input / "empty.jpg").touch()
    known = estimating.estimate(stub.job(), stub.work())
    assert known.to_do == count + 1 and known.tried == min(64, count + 1)
    assert known.sample.done + sum(known.sample.failed.values()) == known.tried
    assert f"{count + 1} images to do" in known.as_text("results", price=0.5)
    assert not stub.output.exists()
    stub.run()
    assert estimating.estimate(stub.job(), stub.work()).to_do == 0


@pytest.mark.parametrize("text", ["", "%", "-1", "1.5", "five", "nan%", "inf%"])
def test_what_is_no_number_of_failures(text: str) -> None:
    with pytest.raises(ValueError):
        MaxFailures.parse(text)


def test_an_output_that_vanishes_is_said_and_the_next_run_goes_on(stub, picture) -> None:
    names = _fill(stub, picture, 12)
    work = stub.work()
    written = []

    def to_record(item) -> bytes:
        written.append(item)
        if len(written) == 8:
            stub.output.rename(stub.output.with_name("moved"))
        return to_line(item)

    with pytest.raises(UserError, match="has vanished while the job ran"):
        jobs.run(stub.job(), dataclasses.replace(work, to_record=to_record), {}, [])
    assert not list(stub.output.glob("runs/*"))
    stub.run()
    assert set(stub.results()) == names


def test_two_runs_at_once_end_as_one_would(stub, picture) -> None:
    names = _fill(stub, picture, 12)
    first, second = stub.job(), stub.job()
    for job in (first, second):
        job.begin({})
    # The second plans while the first has planned and not yet begun: the worst case.
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        jobs.build(pipeline, first, stub.work(), {})
        parts = pipeline | "Other run" >> _Build(second, stub)
        assert parts is None
    assert set(stub.results()) == names
    for run in (first, second):
        manifest = json.loads((stub.output / f"runs/{run.run}.json").read_text())
        assert manifest["images"]["done"] == 12


class _Build(beam.PTransform):
    """A second copy of the graph in one pipeline."""

    def __init__(self, job, stub) -> None:
        super().__init__()
        self._job, self._stub = job, stub

    def expand(self, begin) -> None:
        jobs.build(begin, self._job, self._stub.work(), {})


KILLED = """
    import sys
    from pathlib import Path
    from tests.conftest import StubJob

    stub = StubJob.__new__(StubJob)
    stub.input, stub.output, stub.log = (Path(sys.argv[1]) / n for n in ("in", "out", "log"))
    stub.settings = "settings-1"
    stub.run()
"""


def test_a_killed_run_ends_as_an_undisturbed_one(stub, picture, tmp_path: Path) -> None:
    names = _fill(stub, picture, 400)
    program = [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path)]
    process = subprocess.Popen(program, cwd=Path(__file__).parents[2], stderr=subprocess.DEVNULL)
    while not list((stub.output / "shards").glob("*.jsonl")):
        assert process.poll() is None, "the run ended before it wrote a shard"
        time.sleep(0.01)
    process.kill()
    process.wait()
    survived = set(stub.results())
    assert survived and survived < names
    manifest = stub.run()
    assert manifest["images"]["skipped"] == len(survived)
    assert manifest["images"]["done"] == len(names) - len(survived)
    assert sum(shard["done"] for shard in manifest["adopted"]) == len(survived)
    assert set(stub.results()) == names


def test_a_run_that_is_planned_again_counts_what_it_did_itself(stub, picture) -> None:
    # As Spark and Flink do where they lost the plan's results with a machine.
    names = _fill(stub, picture, 20)
    run = stub.job()
    before = jobs.run(run, stub.work(), {}, [])
    (stub.output / f"runs/{run.run}.json").unlink()
    lost = [stub.output / shard["file"] for shard in before["shards"][::2]]
    for file in lost:
        file.unlink()
    manifest = jobs.run(run, stub.work(), {}, [])
    assert set(stub.results()) == names
    assert manifest["images"] == before["images"]
    assert manifest["adopted"] == []
    tasks = [shard["task"] for shard in manifest["shards"]]
    assert tasks == [shard["task"] for shard in before["shards"]]


def test_reading_inference_and_writing_are_one_stage(stub) -> None:
    pipeline = beam.Pipeline(runner=FnApiRunner())
    jobs.build(pipeline, stub.job(), stub.work(), {})
    _, stages = FnApiRunner().create_stages(pipeline.to_runner_api(return_context=False))
    labels = [[transform.unique_name for transform in stage.transforms] for stage in stages]
    (execute,) = [names for names in labels if any("Read and decode" in name for name in names)]
    assert any("Infer/" in name for name in execute)
    assert any("Write shards" in name for name in execute)
    assert not any("Infer/" in n for names in labels if names is not execute for n in names)
    assert not any("Join on id" in name or "Collect" in name.split("/")[-1] for name in execute)
