"""A faulty file system loses nothing: what fails in passing is tried again, the rest is listed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from captioner import cli
from captioner.records import FeatureDataset
from tests.conftest import StubJob

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(
    not (shutil.which("cc") and sys.platform == "linux"),
    reason="a faulty file system is made with a C compiler, on Linux",
)

PROGRAM = textwrap.dedent("""
    import json, os, sys
    from pathlib import Path
    from tests.conftest import StubJob

    stub = StubJob.__new__(StubJob)
    stub.input, stub.output = Path(sys.argv[1]) / "in", Path(sys.argv[1]) / "out"
    stub.log = os.devnull  # the test's own note isn't on the faulty file system
    stub.settings = "settings-1"
    manifest = stub.run(shard_size=20, input=sys.argv[2])
    print(json.dumps(manifest["images"]))
""")


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that makes a file system faulty."""
    library = tmp_path_factory.mktemp("faulty") / "faulty.so"
    source = Path(__file__).with_name("faulty.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library


def _run(root: Path, source: Path, **environment: str) -> dict:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(root), str(source)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return json.loads(run.stdout)


@pytest.mark.parametrize(
    ("one_in", "where", "count"),
    [
        pytest.param(20, "", 300, id="everywhere"),
        pytest.param(1, "in", 24, id="hopeless", marks=pytest.mark.slow),
    ],
)
def test_nothing_is_lost_and_the_failed_are_done_later(
    stub: StubJob, picture, faulty: Path, tmp_path: Path, one_in: int, where: str, count: int
) -> None:
    names = {picture(stub.input / f"{n % 7}/{n}.png").relative_to(stub.input).as_posix()
             for n in range(count)}  # fmt: skip
    log = tmp_path / "faults.txt"
    first = _run(
        tmp_path,
        stub.input,
        LD_PRELOAD=str(faulty),
        FAULTY_ROOT=str(tmp_path / where),
        FAULTY_SEED="1",
        FAULTY_LOG=str(log),
        ONE_IN=str(one_in),
    )
    faults = sum(int(line.split()[0]) for line in log.read_text().splitlines())
    assert faults > 20
    failed = stub.failures()
    assert set(failed.values()) <= {"unreadable"}
    assert set(stub.results()) | set(failed) == names
    assert first["done"] + len(failed) == count
    if one_in == 1:
        assert failed
        _run(tmp_path, stub.output / "failures")
    assert set(stub.results()) == names


ENCODER = ("--encoder", "mobilenetv2", "--encoder-layer", "Conv1_relu", "--encoder-weights", "none")


@pytest.mark.slow
def test_a_full_disk_is_said_in_one_line_and_the_next_run_goes_on(
    faulty: Path, picture, tmp_path: Path
) -> None:
    names = {picture(tmp_path / f"in/{n}.png").name for n in range(40)}
    output = tmp_path / "out"
    places = ("--input", str(tmp_path / "in"), "--output", str(output))
    arguments = ("extract", *places, *ENCODER, "--image-size", "32", "--shard-size", "4")
    full = {"LD_PRELOAD": str(faulty), "FAULTY_ROOT": str(output), "FULL_AFTER": "30"}
    run = subprocess.run(
        [sys.executable, "-m", "captioner", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), **full},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 2
    assert run.stderr.splitlines()[-1].startswith("error: ") and "No space left" in run.stderr
    finished = len(list(output.glob("shards/*.gz")))
    assert 0 < finished < 10
    assert cli.main([*arguments]) == 0
    found = FeatureDataset.load(str(output)).records("").as_numpy_iterator()
    assert {record["id"].decode() for record in found} == names
    assert cli.main(["verify", str(output)]) == 0
