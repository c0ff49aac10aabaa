"""Killed twenty times at random moments, and in the midst of writing: the end is the same."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from captioner import captions, cli, records
from captioner.records import FeatureDataset

ROOT = Path(__file__).parents[1]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

# Runs the command, and dies when a file of a kind (a directory of the output) is published: with
# half of it written, just before it is there, or just after.
DYING = textwrap.dedent("""
    import os, signal, sys
    from captioner.storage import local

    kind, moment = sys.argv[1].split(":")
    shards = 0
    link, copy = os.link, local.shutil.copyfileobj

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    def dying_link(source, target):
        global shards
        hit = f"/{kind}/" in target and shards > 0
        if hit and moment == "before":
            die()
        link(source, target)
        shards += "/shards/" in target
        if hit and moment == "after":
            die()

    def dying_copy(source, target, length):
        if moment == "half" and shards > 0:
            data = source.read()
            target.write(data[: len(data) // 2])
            target.flush()
            die()
        copy(source, target, length)

    local.os.link, local.shutil.copyfileobj = dying_link, dying_copy

    from captioner import cli

    sys.exit(cli.main(sys.argv[2:]))
""")
ENCODER = ("--encoder", "mobilenetv2", "--encoder-weights", "none", "--encoder-layer", "Conv1_relu")
FEW = ("--shard-size", "20", "--batch-size", "20")


def _draw(directory: Path, numbers: range) -> None:
    """Pictures of noise, a file that is none and one that is like another."""
    directory.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        noise = np.random.default_rng(number).integers(0, 256, (40, 40, 3), np.uint8)
        Image.fromarray(noise).save(directory / f"{number:04d}.png")
    (directory / f"{numbers.start:04d}.txt").write_text("no image")
    first = (directory / f"{numbers.start:04d}.png").read_bytes()
    (directory / f"{numbers.start:04d}-again.png").write_bytes(first)


def _run(*arguments: object) -> None:
    assert cli.main([str(argument) for argument in arguments]) == 0


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The input: two folders that are there at first, and one that comes later."""
    root = tmp_path_factory.mktemp("kills") / "images"
    for folder, numbers in [("a", range(60)), ("b", range(60, 120)), ("c", range(120, 3000))]:
        _draw(root / folder, numbers)
    return root


@pytest.fixture(scope="module")
def extracted(images: Path) -> Path:
    """The features of an undisturbed run."""
    output = images.parent / "features"
    captioned = images.parent / "captions.csv"
    lines = [f"{path.relative_to(images)},A picture ." for path in images.rglob("*.png")]
    captioned.write_text("\n".join(["image,caption", *lines]))
    _run(*_extract(images, output))
    return output


def _extract(images: Path, output: Path) -> tuple[object, ...]:
    collection = ("--captions", images.parent / "captions.csv")
    size = ("--image-size", 32)
    return ("extract", "--input", images, "--output", output, *collection, *ENCODER, *size, *FEW)


@pytest.fixture(scope="module")
def model(extracted: Path) -> Path:
    output = extracted.parent / "model"
    _run("train", "--features", extracted, "--output", output, "--epochs", 1, "--units", 16)
    return output


def _caption(images: Path, output: Path, model: Path) -> tuple[object, ...]:
    search = ("--width", 1, "--max-length", 8)
    return ("caption", "--input", images, "--output", output, "--model", model, *search, *FEW)


def _start(where: str, arguments: tuple[object, ...]) -> subprocess.Popen:
    command = [sys.executable, "-c", DYING, where, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip


def _shards(output: Path) -> int:
    return len(list((output / "shards").glob("[!.]*")))


def _kill(arguments: tuple[object, ...], output: Path, pause: float, where: str = "-:-") -> None:
    """Run until the process is killed, or kills itself, after at least one new shard."""
    before = _shards(output)
    process = _start(where, arguments)
    while where == "-:-" and _shards(output) == before and process.poll() is None:
        time.sleep(0.002)
    if where == "-:-":
        time.sleep(pause)
        with contextlib.suppress(ProcessLookupError):  # it ended: see below
            os.killpg(process.pid, signal.SIGKILL)
    _, said = process.communicate(timeout=600)
    assert process.returncode == -signal.SIGKILL, said.decode()[-2000:]
    assert _shards(output) > before


def _killed_twenty_times(command: Iterator[tuple[object, ...]], output: Path, seed: int) -> None:
    """The first two of the commands die in their commit, the third in writing and at random."""
    draw = random.Random(seed)
    for where in ("runs:before", "runs:after"):
        _kill(next(command), output, 0, where)
    everything = next(command)
    moments = ["shards:half", "shards:before", "index:after"] + ["-:-"] * 15
    draw.shuffle(moments)
    for moment in moments:
        _kill(everything, output, draw.uniform(0, 0.12), moment)
    _run(*everything)
    _run("verify", output)


def _growing(images: Path, tmp_path: Path) -> Iterator[Path]:
    """The input as it grows; always the same directory."""
    grown = tmp_path / "images"
    grown.mkdir()
    for folder in ("a", "b", "c"):
        os.rename(_linked(images / folder, tmp_path / "coming"), grown / folder)
        yield grown


def _linked(source: Path, target: Path) -> Path:
    target.mkdir()
    for file in source.iterdir():
        os.link(file, target / file.name)
    return target


def _features(directory: Path) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for split in ("train", "dev", "test", ""):
        for record in FeatureDataset.load(str(directory)).records(split).as_numpy_iterator():
            assert record["id"] not in found
            found[record["id"].decode()] = record["features"]
    return found


def test_extract(images: Path, extracted: Path, tmp_path: Path) -> None:
    (tmp_path / "captions.csv").write_bytes((images.parent / "captions.csv").read_bytes())
    output = tmp_path / "features"
    commands = (_extract(grown, output) for grown in _growing(images, tmp_path))
    _killed_twenty_times(commands, output, seed=1)
    found, expected = _features(output), _features(extracted)
    assert found.keys() == expected.keys() and len(found) == 3003
    for id, features in found.items():
        np.testing.assert_allclose(features, expected[id], atol=1e-2)
    ids = [record.id for file in (output / "shards").iterdir() if file.name[0] != "."
           for record in records.read_shard(str(file))]  # fmt: skip
    assert len(ids) == len(set(ids))


def test_caption(images: Path, model: Path, tmp_path: Path) -> None:
    undisturbed, output = tmp_path / "undisturbed", tmp_path / "captions"
    _run(*_caption(images, undisturbed, model))
    commands = (_caption(grown, output, model) for grown in _growing(images, tmp_path))
    _killed_twenty_times(commands, output, seed=2)
    lines = [line for file in (output / "shards").glob("*.jsonl") for line in open(file)]
    assert len(lines) == 3003
    found, expected = (
        {record.id: record.caption for record in captions.read(str(directory))}
        for directory in (output, undisturbed)
    )
    assert found == expected
