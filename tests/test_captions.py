"""Caption records: the published schema, and reading a run's output back."""

from __future__ import annotations

import functools
import json
from importlib import resources
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from captioner import captions
from captioner.captions import CaptionRecord
from captioner.errors import UserError
from captioner.shards import Outcome, ShardWriter, Summary

GOLDEN = Path(__file__).parent / "golden"
SCHEMA = json.loads(resources.files("captioner").joinpath("captions.schema.json").read_text())

text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
log_probability = st.floats(-1e3, 0)
a_record = st.builds(
    CaptionRecord,
    id=text,
    uri=text,
    content_hash=st.text("0123456789abcdef", min_size=64, max_size=64),
    width=st.integers(1, 10**6),
    height=st.integers(1, 10**6),
    caption=text,
    log_probability=log_probability,
    candidates=st.lists(st.tuples(text, log_probability), min_size=1).map(tuple),
    language=text,
    made_by=text,
    run=text,
)


@given(a_record)
def test_every_line_validates_and_reads_back(record: CaptionRecord) -> None:
    line = record.to_line()
    assert line.index("\n") == len(line) - 1
    jsonschema.validate(json.loads(line), SCHEMA)
    assert CaptionRecord.from_line(line) == record


def test_the_golden_line_can_be_read() -> None:
    line = (GOLDEN / "captions.jsonl").read_text()
    jsonschema.validate(json.loads(line), SCHEMA)
    record = CaptionRecord.from_line(line)
    assert record.id == "a/één.jpg"
    assert record.candidates == (("a dog runs", -3.25), ("a dog", -4.5))
    assert record.to_line() == line


def test_the_schema_refuses_what_is_no_record() -> None:
    values = json.loads((GOLDEN / "captions.jsonl").read_text())
    for broken in [{"schema": 2}, {"width": 0}, {"extra": 1}, {"content_hash": "x"}]:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**values, **broken}, SCHEMA)


def _publish(output: Path, task: str, run: str, texts: dict[str, str]) -> None:
    summary = Summary(task, f"shards/{task}.jsonl", run, "settings", "")
    writer = ShardWriter(str(output), summary, functools.partial(open, mode="wb"))
    for id, text in texts.items():
        record = CaptionRecord(id, id, "0" * 64, 1, 1, text, -1.0, ((text, -1.0),), "", "m", run)
        writer.add_result(Outcome(id, id, "1:1", "", "", False), record.to_line().encode())
    writer.publish()


def test_the_newest_caption_of_each_image_is_read(tmp_path: Path) -> None:
    _publish(tmp_path, "t2", "run1", {"a": "old", "b": "line\u2028separator"})
    _publish(tmp_path, "t1", "run2", {"a": "new"})
    found = {record.id: record.caption for record in captions.read(str(tmp_path))}
    assert found == {"a": "new", "b": "line\u2028separator"}


def test_a_directory_without_captions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="captioner caption"):
        list(captions.read(str(tmp_path)))
