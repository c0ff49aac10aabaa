"""Caption records: the published schema, and reading a run's output back."""

from __future__ import annotations

import glob
import gzip
import json
from importlib import resources
from pathlib import Path

import duckdb
import jsonschema
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from captioner import captions
from captioner.captions import CaptionRecord
from captioner.errors import UserError
from captioner.shards import Failure, Outcome, ShardWriter, Summary

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
    attention=st.none() | st.lists(st.lists(st.lists(st.floats(0, 1), min_size=1), min_size=1)),
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


def test_the_golden_line_with_attention_can_be_read() -> None:
    line = (GOLDEN / "attention.jsonl").read_text()
    jsonschema.validate(json.loads(line), SCHEMA)
    record = CaptionRecord.from_line(line)
    words, weights = record.caption.split(), record.attention
    assert len(weights) == len(words) == 3
    assert weights[2] == [[0.0, 0.25, 0.5], [0.0, 0.0, 0.25]]  # two rows of three columns
    assert record.to_line() == line


def test_the_schema_refuses_what_is_no_record() -> None:
    values = json.loads((GOLDEN / "captions.jsonl").read_text())
    no_map = {"attention": [[0.5, 0.5]]}
    for broken in [{"schema": 2}, {"width": 0}, {"extra": 1}, {"content_hash": "x"}, no_map]:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**values, **broken}, SCHEMA)


@given(st.lists(a_record))
def test_every_format_gives_back_the_lines_it_was_given(
    tmp_path_factory: pytest.TempPathFactory, found: list[CaptionRecord]
) -> None:
    lines = [record.to_line().encode() for record in found]
    for name, format in captions.FORMATS.items():
        path = str(tmp_path_factory.getbasetemp() / f"lines.{name}")
        spool = format.open_spool(path)
        for line in lines:
            spool.write(line)
        spool.close()
        assert list(format.read(path)) == lines
        assert [format.id_of(line) for line in format.read(path)] == [item.id for item in found]


@pytest.mark.parametrize("name", captions.FORMATS)
def test_equal_lines_are_equal_files_whenever_and_wherever_they_are_written(
    name: str, tmp_path: Path, monkeypatch
) -> None:
    for number in range(2):
        monkeypatch.setattr("time.time", lambda number=number: 1e9 + 1e6 * number)
        spool = captions.FORMATS[name].open_spool(str(tmp_path / f"{number}"))
        spool.write((GOLDEN / "captions.jsonl").read_bytes())
        spool.close()
    assert (tmp_path / "0").read_bytes() == (tmp_path / "1").read_bytes()


@pytest.mark.parametrize("name", captions.FORMATS)
def test_the_golden_file_of_each_format_can_be_read(name: str) -> None:
    (line,) = captions.FORMATS[name].read(str(GOLDEN / f"captions.{name}"))
    assert line == (GOLDEN / "captions.jsonl").read_bytes()


def test_parquet_has_the_columns_of_the_schema_and_its_version() -> None:
    schema = parquet.read_schema(GOLDEN / "captions.parquet")
    assert set(schema.names) == set(SCHEMA["required"])
    assert set(SCHEMA["properties"]) - set(SCHEMA["required"]) == {"attention"}
    assert schema.metadata[b"schema"] == str(SCHEMA["properties"]["schema"]["const"]).encode()


def test_parquet_has_a_column_of_attention_where_a_record_has_it(tmp_path: Path) -> None:
    spool = captions.FORMATS["parquet"].open_spool(str(tmp_path / "some.parquet"))
    for name in ("captions", "attention"):
        spool.write((GOLDEN / f"{name}.jsonl").read_bytes())
    spool.close()
    table = parquet.read_table(tmp_path / "some.parquet")
    assert set(table.column_names) == set(SCHEMA["properties"])
    assert table.schema.metadata[b"schema"] == b"1"
    missing, there = table["attention"].to_pylist()
    assert missing is None
    assert there == json.loads((GOLDEN / "attention.jsonl").read_text())["attention"]


def _publish(
    output: Path, task: str, run: str, texts: dict[str, str | None], format: str = "jsonl"
) -> None:
    """A shard of captions; None is a failure."""
    summary = Summary(task, f"shards/{task}.{format}", run, "settings", "")
    writer = ShardWriter(str(output), summary, captions.FORMATS[format].open_spool)
    for id, text in texts.items():
        if text is None:
            failure = Failure(id, id, "", "decode", "empty", "", True, run)
            writer.add_failure(Outcome(id, id, "1:1", "", "empty", True), failure)
            continue
        record = CaptionRecord(id, id, "0" * 64, 1, 1, text, -1.0, ((text, -1.0),), "", "m", run)
        writer.add_result(Outcome(id, id, "1:1", "", "", False), record.to_line().encode())
    writer.publish()


@pytest.mark.parametrize("format", captions.FORMATS)
def test_the_newest_caption_of_each_image_is_read(format: str, tmp_path: Path) -> None:
    _publish(tmp_path, "t2", "run1", {"a": "old", "b": "line\u2028separator", "c": "c"}, format)
    _publish(tmp_path, "t1", "run2", {"a": "new", "c": None}, format)
    found = {record.id: record.caption for record in captions.read(str(tmp_path))}
    assert found == {"a": "new", "b": "line\u2028separator"}


@pytest.fixture(params=captions.FORMATS)
def published(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str]:
    """Shards of two runs, and one of failures alone; and their format."""
    run = "20261120T175903.766085Z-1cd9a"
    _publish(tmp_path, "t3", f"{run}1", {"a": "old", "007": "1", "b.jpg": "é"}, request.param)
    _publish(tmp_path, "t1", f"{run}2", {"a": "new", "c": "2"}, request.param)
    _publish(tmp_path, "t2", f"{run}2", {"d": None}, request.param)
    return tmp_path, request.param


NEWEST = {"a": "new", "007": "1", "b.jpg": "é", "c": "2"}


def test_pandas_reads_the_newest_captions_in_a_line(published: tuple[Path, str]) -> None:
    out, format = published
    if format == "parquet":
        found = pandas.read_parquet(f"{out}/shards").sort_values("run").drop_duplicates("id", keep="last")  # noqa: E501  # fmt: skip
    else:
        found = pandas.concat(pandas.read_json(f, lines=True, dtype=False) for f in glob.glob(f"{out}/shards/*.jsonl*")).sort_values("run").drop_duplicates("id", keep="last")  # noqa: E501  # fmt: skip
    assert dict(zip(found["id"], found["caption"], strict=True)) == NEWEST
    assert [row[0]["caption"] for row in found["candidates"]] == list(found["caption"])


def test_duckdb_reads_the_newest_captions_in_a_line(published: tuple[Path, str]) -> None:
    out, format = published
    query = f"SELECT DISTINCT ON (id) * FROM '{out}/shards/*.{format}' ORDER BY id, run DESC"
    assert {row["id"]: row["caption"] for row in _rows(query)} == NEWEST
    assert all(row["candidates"][0]["caption"] == row["caption"] for row in _rows(query))


def _rows(query: str) -> list[dict]:
    found = duckdb.sql(query)
    return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]


def test_a_directory_has_one_format(tmp_path: Path) -> None:
    assert captions.choose_format(str(tmp_path), None) == "jsonl"
    assert captions.choose_format(str(tmp_path), "parquet") == "parquet"
    _publish(tmp_path, "t1", "run1", {"a": "a"}, "jsonl.gz")
    assert captions.choose_format(str(tmp_path), None) == "jsonl.gz"
    assert captions.choose_format(str(tmp_path), "jsonl.gz") == "jsonl.gz"
    for other in ("jsonl", "parquet"):
        with pytest.raises(UserError, match=f"captioner compact .* --format {other}"):
            captions.choose_format(str(tmp_path), other)


def test_captions_do_not_go_among_features(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards/t1.tfrecord.gz").touch()
    with pytest.raises(UserError, match="no captions here"):
        captions.choose_format(str(tmp_path), None)


def test_a_gzip_file_names_no_file() -> None:
    data = (GOLDEN / "captions.jsonl.gz").read_bytes()
    assert data[3:8] == bytes(5)  # no flags, such as of a name; no time
    assert gzip.decompress(data) == (GOLDEN / "captions.jsonl").read_bytes()


def test_a_directory_without_captions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="captioner caption"):
        list(captions.read(str(tmp_path)))
