"""The same is learned on one device, on several, and by several workers.

Dropout is off in what is compared: each replica draws its own.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from captioner import cli, decoders, training
from captioner.errors import UserError
from captioner.model import Captioner
from captioner.training import TrainingOptions, distribution
from captioner.training.learners import AdamW
from captioner.training.learners.tensorflow import TensorFlowLearner
from tests import toy_features, toy_training

# 27 images with batches of 10: some batches are not full, and captions differ in length. The
# gradients are longer than `clip_norm`.
COUNTS = {"train": 27, "dev": 11}
OPTIONS = TrainingOptions(
    settings={"units": 8, "embedding": 8, "heads": 2},
    dropout=0.0,
    epochs=3,
    batch_size=10,
    learning_rate=0.03,
    clip_norm=0.1,
    min_count=1,
)
COMMAND = [sys.executable, "-m", "captioner", "train", "--min-count", "1", "--units", "8"]

# One CPU as several devices, which must be said before TensorFlow begins.
ON_DEVICES = """
import json, sys
import tensorflow as tf
from captioner import training

count, features, model, options = sys.argv[1:]
devices = [tf.config.LogicalDeviceConfiguration()] * int(count)
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], devices)
options = training.TrainingOptions(**json.loads(options))
training.train(features, model, options, strategy="mirrored")
"""

DROPOUT = """
import keras
import tensorflow as tf
from captioner import decoders
from captioner.training.learners import AdamW
from captioner.training.learners.tensorflow import TensorFlowLearner

devices = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], devices)
strategy = tf.distribute.MirroredStrategy()
with strategy.scope():
    keras.utils.set_random_seed(0)
    decoder = decoders.create("merge", 9, (64,), units=64, embedding=64)
    TensorFlowLearner(decoder, AdamW, 0.1, strategy)
batch = {"features": tf.ones((1, 64)), "tokens": tf.ones((1, 1, 3), tf.int32)}
logits = strategy.run(lambda: decoder(batch, training=True))
print(*[float(tf.reduce_sum(part)) for part in strategy.experimental_local_results(logits)])
"""


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> str:
    directory = f"{tmp_path_factory.mktemp('features')}/features"
    toy_features.write(directory, COUNTS, (2, 3, toy_features.CHANNELS))
    return directory


def history(model: Path) -> np.ndarray:
    """Both losses of each epoch."""
    entries = json.loads((model / "history.json").read_text())
    return np.array([[entry["loss"], entry["development_loss"]] for entry in entries])


def assert_same(model: Path, reference: Path) -> None:
    """They learned the same, and something."""
    assert history(model) == pytest.approx(history(reference), abs=1e-4)
    assert history(model)[-1, 1] < history(model)[0, 1]
    captioners = (Captioner.load(str(path), encoder=False) for path in (model, reference))
    mine, its = (captioner.decoder.get_weights() for captioner in captioners)
    for weight, expected in zip(mine, its, strict=True):
        assert weight == pytest.approx(expected, abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(("count", "decoder"), [(2, "attention"), (3, "merge")])
def test_several_devices_learn_what_one_does(features, tmp_path, count, decoder):
    sizes = {"units": 8, "embedding": 8}
    options = dataclasses.replace(OPTIONS, decoder=decoder, settings=sizes)
    training.train(features, f"{tmp_path}/one", options)
    said = json.dumps(dataclasses.asdict(options))
    launch = [sys.executable, "-c", ON_DEVICES, str(count), features, f"{tmp_path}/many", said]
    subprocess.run(launch, check=True, capture_output=True)
    assert_same(tmp_path / "many", tmp_path / "one")
    description = json.loads((tmp_path / "many/model.json").read_text())
    assert description["training"]["devices"] == {"strategy": "mirrored", "replicas": count}


@pytest.mark.slow
def test_each_device_draws_its_own_dropout():
    said = subprocess.run([sys.executable, "-c", DROPOUT], check=True, capture_output=True)
    first, second = said.stdout.split()
    assert first != second


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for found in sockets:
        found.bind(("127.0.0.1", 0))
    ports = [found.getsockname()[1] for found in sockets]
    for found in sockets:
        found.close()
    return ports


def start_workers(*flags: str) -> list[subprocess.Popen]:
    """Two workers of one cluster; the first is the chief. `{worker}` in a flag is its number."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    workers = []
    for number in range(2):
        task = {"type": "worker", "index": number}
        cluster = json.dumps({"cluster": {"worker": addresses}, "task": task})
        command = [*COMMAND, *(flag.format(worker=number) for flag in flags)]
        workers.append(
            subprocess.Popen(
                command,
                env={**os.environ, "TF_CONFIG": cluster},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    return workers


def finish(workers: list[subprocess.Popen]) -> list[tuple[int, str, str]]:
    """Of each worker its status, what it said, and its mistake (TensorFlow says much beside)."""
    ended = []
    for worker in workers:
        out, err = worker.communicate(timeout=500)
        mistakes = [line for line in err.splitlines() if line.startswith("error: ")]
        assert len(mistakes) == (worker.returncode == 2), err
        ended.append((worker.returncode, out, "".join(mistakes)))
    return ended


@pytest.mark.slow
def test_two_workers_learn_what_one_does_and_the_chief_writes(features, tmp_path):
    flags = ["--features", features, "--dropout", "0", "--epochs", "3", "--batch-size", "9"]
    flags += ["--learning-rate", "0.03"]
    assert cli.main([*COMMAND[3:], *flags, "--output", f"{tmp_path}/one"]) == 0
    for attempt in ("epoch 3/3", "trained before"):
        chief, other = finish(start_workers(*flags, "--output", f"{tmp_path}/{{worker}}"))
        assert (chief[0], other[0]) == (0, 0), (chief, other)
        assert attempt in chief[1] and not other[1]
    assert_same(tmp_path / "0", tmp_path / "one")
    assert not (tmp_path / "1").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("killed", "by"), [(0, signal.SIGKILL), (1, signal.SIGTERM)])
def test_when_a_worker_dies_the_others_say_so(features, tmp_path, killed, by):
    flags = ["--features", features, "--epochs", "1000000", "--decoder", "merge"]
    workers = start_workers(*flags, "--output", f"{tmp_path}/model")
    assert workers[0].stdout.readline().startswith("epoch 1/")
    workers[killed].send_signal(by)
    ended = finish(workers)
    assert ended[killed][0] == -by
    status, _, error = ended[1 - killed]
    assert status == 2
    assert error.startswith("error: another worker has ended")
    assert not (tmp_path / "model/model.json").exists()


@pytest.mark.slow
def test_what_the_chief_refuses_ends_all_workers(features, tmp_path):
    (tmp_path / "file").write_text("in the way")
    chief, other = finish(
        start_workers("--features", features, "--output", f"{tmp_path}/file/model")
    )
    assert (chief[0], other[0]) == (2, 2)
    assert "can't be written" in chief[2] and "another worker has ended" in other[2]


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 12), st.integers(1, 3), st.integers(1, 3))
def test_the_replicas_parts_make_up_the_batch(images, workers, replicas_each):
    replicas = workers * replicas_each
    rows = -(-12 // replicas)
    values = np.arange(images * 2, dtype=np.float32).reshape(images, 2)
    batches = tf.data.Dataset.from_tensors(({"values": values}, values + 1, {"examples": images}))
    found: list[Any] = []
    for worker in range(workers):
        context = tf.distribute.InputContext(workers, worker, replicas)
        found += distribution.parts(batches, rows, context).as_numpy_iterator()
    assert len(found) == replicas
    assert all(part["values"].shape == (rows, 2) for part, _, _ in found)
    assert all(totals["examples"] == images for _, _, totals in found)
    whole = np.concatenate([part["values"] for part, _, _ in found])
    assert (whole[:images] == values).all() and not whole[images:].any()
    others = np.concatenate([part for _, part, _ in found])
    assert (others[:images] == values + 1).all() and not others[images:].any()


@pytest.mark.slow
@pytest.mark.parametrize("decoder", decoders.DECODERS)
def test_a_step_compiles_for_accelerators_and_learns_the_same(decoder):
    """A TPU runs what XLA compiles, for shapes that are known by then: a program a length."""
    losses = [_losses(decoder, compile) for compile in (False, True)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


def _losses(name: str, compile: bool) -> list[float]:
    """Of some steps, with captions of several lengths."""
    keras.utils.set_random_seed(0)
    sizes = toy_training.SIZES[name]
    decoder = decoders.create(name, 9, (2, 3, 4), dropout=0.0, **sizes)
    make_optimizer = functools.partial(AdamW, 0.01, global_clipnorm=0.1)
    learner = TensorFlowLearner(decoder, make_optimizer, 0.1, tf.distribute.get_strategy())
    words = tf.TensorSpec((None, 5, None), tf.int32)
    inputs = {"features": tf.TensorSpec((4, 2, 3, 4), tf.float16), "tokens": words}
    totals = {"words": tf.TensorSpec(())}
    signature = [inputs, words, tf.TensorSpec((None, 5, None)), totals]
    step = tf.function(learner.train_step, signature, jit_compile=compile)
    generator = np.random.default_rng(0)
    losses = []
    for length in (3, 6, 3):
        tokens = generator.integers(1, 9, (4, 5, length)).astype(np.int32)
        pictures = generator.normal(size=(4, 2, 3, 4)).astype(np.float16)
        batch = {"features": pictures, "tokens": tokens}, tokens, np.ones(tokens.shape, np.float32)
        totals = {"words": np.float32(tokens.size)}
        losses.append(float(step(*tf.nest.map_structure(tf.constant, (*batch, totals)))))
    return losses


def test_alone_without_a_gpu_there_is_one_device(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert distribution.create("auto").name == "one"
    alone = {"cluster": {"chief": ["127.0.0.1:1"]}, "task": {"type": "chief", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(alone))
    assert distribution.create("auto").name == "one"


def test_several_gpus_are_all_used(monkeypatch):
    found = {"GPU": ["first", "second"], "TPU": []}
    monkeypatch.setattr(tf.config, "list_physical_devices", found.get)
    assert distribution.create("auto").name == "mirrored"


@pytest.mark.parametrize(
    ("cluster", "message"),
    [
        (None, "needs TF_CONFIG"),
        ("no JSON", "no description of a cluster"),
        ('{"cluster": {"worker": ["a:1", "b:1"]}}', "neither the chief nor one of the workers"),
        (
            '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
            "neither the chief nor one of the workers",
        ),
        (
            '{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "ps", "index": 0}}',
            "neither the chief nor one of the workers",
        ),
    ],
)
def test_a_cluster_that_is_none_is_a_users_mistake(monkeypatch, cluster, message):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if cluster:
        monkeypatch.setenv("TF_CONFIG", cluster)
    with pytest.raises(UserError, match=message):
        distribution.create("multiworker")


def test_without_a_tpu_the_user_is_told(features, tmp_path, capsys):
    flags = ["--features", features, "--output", f"{tmp_path}/model", "--strategy", "tpu"]
    assert cli.main(["train", *flags]) == 2
    assert capsys.readouterr().err.startswith("error: no TPU was found")
