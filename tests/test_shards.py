"""Shards: whole or absent, the first attempt wins, the newest outcome holds."""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captioner import shards
from captioner.errors import UserError
from captioner.shards import Failure, Outcome, ShardWriter, Summary

GOLDEN = Path(__file__).parent / "golden"


def _write(
    output: Path, task: str, run: str, results: dict[str, bytes], failures: tuple[str, ...] = ()
) -> ShardWriter:
    summary = Summary(task, f"shards/{task}.jsonl", run, "settings", "train")
    writer = ShardWriter(str(output), summary, functools.partial(open, mode="wb"))
    for id, record in results.items():
        writer.add_result(Outcome(id, f"/in/{id}", "1:1", "hash", "", False), record)
    for id in failures:
        writer.add_failure(
            Outcome(id, f"/in/{id}", "1:1", "hash", "empty", True),
            Failure(id, f"/in/{id}", "", "decode", "empty", "the file is empty", True, run),
        )
    return writer


def test_a_published_shard_says_what_it_holds(tmp_path: Path) -> None:
    writer = _write(tmp_path, "t1", "run1", {"a": b"1\n", "b": b"2\n"}, failures=("c",))
    writer.add_work("", read=1.0)
    writer.add_work("machine/1/a", read=0.5, infer=2.0)
    summary = writer.publish()
    assert (tmp_path / summary.file).read_bytes() == b"1\n2\n"
    assert (summary.done, summary.failed) == (2, {"empty": 1})
    assert summary.seconds == {"read": 1.5, "infer": 2.0}
    assert summary.models == ["machine/1/a"]
    assert summary.sha256 == hashlib.sha256(b"1\n2\n").hexdigest()
    (index,) = shards.finished(str(tmp_path))
    _, _, lines = Path(index).read_bytes().partition(b"\n")
    assert summary.outcomes_sha256 == hashlib.sha256(lines).hexdigest()
    assert shards.read_index(index)[0] == summary
    assert [outcome.id for outcome in shards.read_index(index)[1]] == ["a", "b", "c"]
    (failures,) = (tmp_path / "failures").iterdir()
    assert json.loads(failures.read_text())["reason"] == "empty"
    assert summary.failures_sha256 == hashlib.sha256(failures.read_bytes()).hexdigest()


def test_the_first_attempt_wins_whatever_the_second_found(tmp_path: Path) -> None:
    first = _write(tmp_path, "t1", "run1", {"a": b"1\n"}, failures=("b",)).publish()
    second = _write(tmp_path, "t1", "run1", {"a": b"1\n", "b": b"2\n"}).publish()
    assert second == first
    (index,) = shards.finished(str(tmp_path))
    assert shards.read_index(index)[0] == first


def test_an_index_knows_the_failures_that_an_attempt_left_before_it(tmp_path: Path) -> None:
    _write(tmp_path, "t1", "run1", {"a": b"1\n"}, failures=("b",)).publish()
    (failures,) = (tmp_path / "failures").iterdir()
    for directory in ("index", "shards"):
        next((tmp_path / directory).iterdir()).unlink()
    summary = _write(tmp_path, "t1", "run2", {"a": b"1\n"}, failures=("b",)).publish()
    assert json.loads(failures.read_text())["run"] == "run1"
    assert summary.failures_sha256 == hashlib.sha256(failures.read_bytes()).hexdigest()


def test_an_attempt_that_died_before_its_data_does_not_count(tmp_path: Path) -> None:
    _write(tmp_path, "t1", "run1", {"a": b"1\n"}).publish()
    (tmp_path / "shards" / "t1.jsonl").unlink()
    assert list(shards.finished(str(tmp_path))) == []
    again = _write(tmp_path, "t1", "run2", {"a": b"other\n"}).publish()
    (index,) = shards.finished(str(tmp_path))
    assert shards.read_index(index)[0] == again


def test_the_newest_outcome_holds_be_it_a_failure(tmp_path: Path) -> None:
    _write(tmp_path, "t1", "run1", {"a": b"1\n", "b": b"2\n"}).publish()
    _write(tmp_path, "t0", "run2", {"b": b"3\n"}, failures=("a",)).publish()
    assert shards.newest(str(tmp_path), "settings") == {"a": "t0", "b": "t0"}


def test_a_film_that_is_read_has_no_failure_any_more(tmp_path: Path) -> None:
    _write(tmp_path, "t9", "run1", {"a": b"1\n"}, failures=("b.mp4", "c.mp4")).publish()
    _write(tmp_path, "t0", "run2", {"b.mp4#t=0": b"3\n"}, failures=("b.mp4#t=2",)).publish()
    _write(tmp_path, "t1", "run0", {"c.mp4#t=0": b"3\n"}).publish()
    known = {"a": "t9", "c.mp4": "t9", "c.mp4#t=0": "t1", "b.mp4#t=0": "t0", "b.mp4#t=2": "t0"}
    assert shards.newest(str(tmp_path), "settings") == known


def test_outcomes_of_the_settings_asked_for_go_before_newer_ones(tmp_path: Path) -> None:
    _write(tmp_path, "t1", "run1", {"a": b"1\n", "b": b"2\n"}).publish()
    other = _write(tmp_path, "t2", "run2", {"b": b"3\n", "c": b"4\n"})
    other._summary.settings = "other"
    other.publish()
    assert shards.newest(str(tmp_path), "settings") == {"a": "t1", "b": "t1", "c": "t2"}
    assert shards.newest(str(tmp_path), "other") == {"a": "t1", "b": "t2", "c": "t2"}


def test_what_a_killed_writer_leaves_is_no_shard(tmp_path: Path) -> None:
    summary = _write(tmp_path, "t1", "run1", {"a": b"1\n"}).publish()
    for directory in ("shards", "index"):
        (tmp_path / directory / ".writing-0123").write_bytes(b"half of it")
    (index,) = shards.finished(str(tmp_path))
    assert shards.read_index(index)[0] == summary


def test_nothing_is_left_on_local_disk(tmp_path: Path, monkeypatch) -> None:
    local = tmp_path / "local"
    local.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(local))
    _write(tmp_path / "out", "t1", "run1", {"a": b"1\n"}).publish()
    assert list(local.iterdir()) == []


@pytest.mark.parametrize("damaged", [b"", b"{", b"[]\n", b"1\n", None])
def test_a_damaged_index_is_named(damaged: bytes | None, tmp_path: Path) -> None:
    _write(tmp_path, "t1", "run1", {"a": b"1\n", "b": b"2\n"}).publish()
    (index,) = (tmp_path / "index").iterdir()
    content = index.read_bytes().replace(b'"b"', b'"c"') if damaged is None else damaged
    index.write_bytes(content)
    with pytest.raises(UserError, match=f"{index.name}: not as it was .*captioner verify"):
        shards.newest(str(tmp_path), "settings")


@pytest.mark.parametrize("damaged", ["", '{"settings": "a', "[]", "{}"])
def test_a_damaged_manifest_is_named(damaged: str, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/run1.json").write_text('{"settings": "settings"}')
    assert shards.latest_settings(str(tmp_path)) == "settings"
    (tmp_path / "runs/run2.json").write_text(damaged)
    with pytest.raises(UserError, match="run2.json: not as it was .*captioner verify"):
        shards.latest_settings(str(tmp_path))


text = st.text(st.characters(exclude_categories=["Cs"]))


@given(
    st.builds(
        Summary,
        *[text] * 5,
        done=st.integers(0),
        failed=st.dictionaries(text, st.integers(0)),
        seconds=st.dictionaries(text, st.floats(0, 1e9)),
    )
)
def test_summaries_survive_the_line_they_are_written_to(summary: Summary) -> None:
    line = summary.to_line()
    assert line.index("\n") == len(line) - 1
    assert Summary.from_line(line) == summary


def test_equal_settings_have_equal_fingerprints_whatever_their_order() -> None:
    assert shards.fingerprint({"a": 1, "b": "é"}) == shards.fingerprint({"b": "é", "a": 1})
    assert shards.fingerprint({"a": 1}) != shards.fingerprint({"a": 2})


def test_the_golden_index_can_be_read() -> None:
    summary, outcomes = shards.read_index(str(GOLDEN / "index.jsonl"))
    _, _, lines = (GOLDEN / "index.jsonl").read_bytes().partition(b"\n")
    assert summary.outcomes_sha256 == hashlib.sha256(lines).hexdigest()
    failures = (GOLDEN / "failures.jsonl").read_bytes()
    assert summary.failures_sha256 == hashlib.sha256(failures).hexdigest()
    assert Failure(**json.loads(failures)).id == outcomes[1].id
    assert summary.task == "train-4b22be258f8ed03f"
    assert summary.failed == {"empty": 1} and summary.models == ["worker-1/4242/0c1d2e3f"]
    assert outcomes[0] == Outcome("a/one.jpg", "/in/a/one.jpg", "10:1", "ab" * 32, "", False)
    assert outcomes[1].failure == "empty" and outcomes[1].permanent
