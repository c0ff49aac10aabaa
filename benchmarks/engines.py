"""Xception on ready pixels by several engines, in turns: which is the fastest here?

    python -m benchmarks.engines [--torch PYTHON]

PyTorch and ONNX Runtime don't go together with TensorFlow 2.17: PYTHON is that of an environment
with `keras torch onnx onnxruntime onnxscript` in it. Each engine is asked by a process of its own,
which takes 32 images of 299 x 299 pixels, as many at a time as suits it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

IMAGES, SIZE, ROUNDS = 32, 299, 5

Infer = Callable[[np.ndarray], object]


def tensorflow() -> Infer:
    """Keras' network as it is."""
    return _network().predict_on_batch


def openvino_float32() -> Infer:
    """Asynchronous requests of eight images."""
    return _openvino("float32")


def openvino_bfloat16() -> Infer:
    """The same, in bfloat16."""
    return _openvino("bfloat16")


def _openvino(precision: str) -> Infer:
    from captioner.encoders import engines

    queue = engines.compiled(_network(), precision)

    def infer(pixels: np.ndarray) -> None:
        for part in np.split(pixels, len(pixels) // engines.IMAGES):
            queue.start_async({0: part})
        queue.wait_all()

    return infer


def torch_bfloat16() -> Infer:
    """PyTorch's own compiler, in bfloat16, channels last in memory."""
    import torch

    network = torch.compile(_network())

    def infer(pixels: np.ndarray) -> None:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            network(torch.from_numpy(pixels).float())

    return infer


def onnxruntime_float32() -> Infer:
    """ONNX Runtime's processor, all cores."""
    import onnxruntime
    import torch

    batch = torch.zeros((IMAGES, SIZE, SIZE, 3), dtype=torch.uint8)
    with tempfile.TemporaryDirectory() as directory:
        file = f"{directory}/network.onnx"
        torch.onnx.export(_network().eval(), (batch,), file, dynamo=True)
        session = onnxruntime.InferenceSession(file)
    name = session.get_inputs()[0].name
    return lambda pixels: session.run(None, {name: pixels})


def _network() -> object:
    import keras

    pixels = keras.Input((SIZE, SIZE, 3), dtype="uint8", batch_size=None)
    whole = keras.applications.Xception(weights=None, include_top=False, pooling="avg")
    scaled = keras.layers.Rescaling(1 / 127.5, -1)(pixels)
    return keras.Model(pixels, whole(scaled))


ENGINES = (tensorflow, openvino_float32, openvino_bfloat16, torch_bfloat16, onnxruntime_float32)


def work(name: str) -> None:
    """Prepare an engine; then, for each line that comes, tell its seconds an image."""
    told = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        (engine,) = [engine for engine in ENGINES if engine.__name__ == name]
        infer, pixels = (
            engine(),
            np.random.default_rng(0).integers(0, 256, (IMAGES, SIZE, SIZE, 3), np.uint8),
        )
        infer(pixels)
        infer(pixels)
        print("ready", file=told, flush=True)
        for _ in sys.stdin:
            started = time.perf_counter()
            infer(pixels)
            print((time.perf_counter() - started) / IMAGES, file=told, flush=True)


def main() -> None:
    """Ask all engines in turns, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--torch", metavar="PYTHON", help="of an environment with PyTorch")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parsed = parser.parse_args()
    if parsed.worker:
        work(parsed.worker)
        return
    workers = {engine.__name__: _start(engine.__name__, parsed.torch) for engine in ENGINES}
    asked = {name: worker for name, worker in workers.items() if worker}
    found: dict[str, list[float]] = {name: [] for name in asked}
    for _ in range(ROUNDS):
        for name, worker in asked.items():
            worker.stdin.write("\n")
            worker.stdin.flush()
            found[name].append(float(worker.stdout.readline()))
    slowest = statistics.median(found["tensorflow"])
    print("| engine | images a second | times TensorFlow |\n| --- | --- | --- |")
    for name, seconds in found.items():
        median = statistics.median(seconds)
        print(f"| {name.replace('_', ', ')} | {1 / median:.1f} | {slowest / median:.2f} |")
        asked[name].stdin.close()


def _start(name: str, torch: str | None) -> subprocess.Popen[str] | None:
    """An engine's process, when it is ready; None where the engine isn't to be had."""
    elsewhere = name.startswith(("torch", "onnx"))
    if elsewhere and not torch:
        return None
    environment = {**os.environ, "KERAS_BACKEND": "torch"} if elsewhere else None
    command = [torch if elsewhere else sys.executable, Path(__file__), "--worker", name]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    worker = subprocess.Popen(command, env=environment, **pipes)
    assert worker.stdout.readline() == "ready\n", f"{name} can't be had"
    return worker


if __name__ == "__main__":
    main()
