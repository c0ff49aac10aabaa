"""Killed at any moment, training goes on where it was, and ends where it would have ended."""

from __future__ import annotations

import dataclasses
import io
import json
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from captioner import training
from captioner.training import TrainingOptions
from captioner.training.checkpoints import Checkpoints, Progress
from tests import toy_training

# Leaves a checkpoint after each step.
TRAINING = """
import json, sys
from captioner import training
from captioner.training import TrainingOptions, checkpoints

checkpoints._SECONDS = 0
features, model, options = sys.argv[1:]
training.train(features, model, TrainingOptions(**json.loads(options)))
"""
EVERYTHING = dataclasses.replace(
    toy_training.OPTIONS,
    epochs=10,
    batch_size=4,
    dropout=0.3,
    word_dropout=0.1,
    averaging=0.9,
    accumulate=2,
    warmup=0.1,
    schedule="cosine",
)
REWARDS = dataclasses.replace(EVERYTHING, self_critical=True, epochs=8)


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> str:
    return toy_training.write_features(tmp_path_factory)


@pytest.fixture(scope="module")
def start(features: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    directory = f"{tmp_path_factory.mktemp('start')}/model"
    training.train(features, directory, toy_training.OPTIONS)
    return directory


def begin(features: str, model: Path, options: TrainingOptions) -> subprocess.Popen:
    asked = json.dumps(dataclasses.asdict(options))
    launch = [sys.executable, "-u", "-c", TRAINING, features, str(model), asked]
    return subprocess.Popen(launch, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def kill_after(process: subprocess.Popen, file: Path, times: int) -> None:
    """Kill it once a file has been written so many times more."""
    before = version(file)
    while times:
        assert process.poll() is None, "it ended before it could be killed"
        now = version(file)
        times -= now != before
        before = now
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)


def version(file: Path) -> int:
    return file.stat().st_mtime_ns if file.exists() else 0


def ended(process: subprocess.Popen, status: int) -> tuple[int, int]:
    """The epoch and the step at which it began, as it said."""
    said, _ = process.communicate()
    assert process.returncode == status
    place = re.search(r"going on where it was stopped: epoch (\d+), step (\d+)", said)
    return tuple(map(int, place.groups())) if place else (1, 1)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("options", "kills", "seed"), [(EVERYTHING, 5, 1), (REWARDS, 2, 2)], ids=["words", "rewards"]
)
def test_killed_again_and_again_it_ends_as_if_undisturbed(
    features, start, tmp_path, options, kills, seed
) -> None:
    options = dataclasses.replace(options, start=start if options.self_critical else "")
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    assert ended(begin(features, undisturbed, options), status=0) == (1, 1)

    places = []
    moments = random.Random(seed)
    for kill in range(kills):
        process = begin(features, killed, options)
        # The first time before there is any checkpoint.
        file, times = ("checkpoint.npz", moments.randint(1, 8)) if kill else ("history.json", 1)
        kill_after(process, killed / file, times)
        places.append(ended(process, -signal.SIGKILL))
    assert (killed / "checkpoint.npz").exists() and not (killed / "model.json").exists()
    places.append(ended(begin(features, killed, options), status=0))

    assert places == sorted(places) and places[1] == (1, 1) < places[-1]
    assert any(step > 1 for _, step in places), "no kill was within an epoch"
    assert not (killed / "checkpoint.npz").exists()
    assert toy_training.history(killed) == toy_training.history(undisturbed)
    found, expected = map(toy_training.weights, (killed, undisturbed))
    assert toy_training.are_equal(found, expected)


def test_a_stopped_training_goes_on_and_another_begins_anew(features, start, tmp_path) -> None:
    options, model, other = toy_training.OPTIONS, tmp_path / "model", tmp_path / "other"

    def stop(entry: dict[str, float]) -> None:
        if entry["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training.train(features, str(model), options, stop)
    other.mkdir()
    shutil.copy(model / "checkpoint.npz", other)
    for directory, its, goes_on in (
        (other, dataclasses.replace(options, epochs=1), False),
        (model, options, True),
    ):
        shown = io.StringIO()
        training.train(features, str(directory), its, console=Console(file=shown))
        assert ("going on where it was stopped: epoch 2, step 1" in shown.getvalue()) == goes_on
        assert not (directory / "checkpoint.npz").exists()
    assert toy_training.history(model) == toy_training.history(start)
    assert toy_training.are_equal(toy_training.weights(model), toy_training.weights(start))


PROGRESS = Progress(
    epoch=3,
    figures=[(0.1, 8.0), (1 / 3, 5.0)],
    history=[{"epoch": 1, "loss": 2.5}, {"epoch": 2, "loss": 1 / 3}],
    best=[np.float32([[1, 2], [3, 4]]), np.zeros((0,), np.float32)],
    learner=[*(np.full((2,), place, np.uint32) for place in range(12)), np.array(7, np.int64)],
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a checkpoint of the training "mine"."""
    directory = tmp_path_factory.mktemp("saved")
    Checkpoints(str(directory), "mine", writes=True).save(PROGRESS)
    return directory


def load(directory: Path, identity: str = "mine") -> Progress | None:
    return Checkpoints(str(directory), identity, writes=True).load()


def test_a_checkpoint_is_for_its_own_training_only(saved, tmp_path) -> None:
    found = load(saved)
    assert (found.epoch, found.figures, found.history) == (3, PROGRESS.figures, PROGRESS.history)
    for mine, its in ((found.best, PROGRESS.best), (found.learner, PROGRESS.learner)):
        assert toy_training.are_equal(mine, its)
        assert [value.dtype for value in mine] == [value.dtype for value in its]
    assert load(saved, "another") is None
    assert load(tmp_path) is None
    Checkpoints(str(tmp_path), "mine", writes=False).save(PROGRESS)
    assert not list(tmp_path.iterdir())


GARBAGE = st.one_of(
    st.binary(max_size=300),
    st.binary(max_size=300).map(lambda data: b"PK\x03\x04" + data),
    st.binary(max_size=300).map(lambda data: b"\x93NUMPY\x01\x00" + data),
)


@given(data=st.data())
def test_where_a_checkpoint_has_holes_it_is_left_alone(saved, tmp_path_factory, data) -> None:
    whole = (saved / "checkpoint.npz").read_bytes()
    first = data.draw(st.integers(0, len(whole) - 1))
    hole = whole[first : first + data.draw(st.integers(1, 512))]
    broken = whole[:first] + bytes(len(hole)) + whole[first + len(hole) :]
    directory = tmp_path_factory.mktemp("broken")
    (directory / "checkpoint.npz").write_bytes(broken)
    found = load(directory)
    if found:  # the hole is where nothing of ours is
        assert toy_training.are_equal(found.learner, PROGRESS.learner)
        assert toy_training.are_equal(found.best, PROGRESS.best)
        assert found.history == PROGRESS.history


@given(data=st.data())
def test_what_is_no_whole_checkpoint_is_left_alone(saved, tmp_path_factory, data) -> None:
    whole = (saved / "checkpoint.npz").read_bytes()
    broken = data.draw(GARBAGE | st.integers(0, len(whole) - 1).map(lambda end: whole[:end]))
    directory = tmp_path_factory.mktemp("broken")
    (directory / "checkpoint.npz").write_bytes(broken)
    assert load(directory) is None


def test_arrays_of_another_kind_are_no_checkpoint(tmp_path) -> None:
    np.savez(tmp_path / "checkpoint.npz", weights=np.ones(3))
    assert load(tmp_path) is None
    with open(tmp_path / "checkpoint.npz", "wb") as file:
        np.save(file, np.ones(3))
    assert load(tmp_path) is None
