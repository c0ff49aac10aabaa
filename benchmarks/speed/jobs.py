"""Whole jobs, from JPEG files to committed shards, beside what a machine could do at most.

The limit of a job is the core-seconds that decoding and the fastest engine's inference need, over
the cores. What a process needs to start is left out, of jobs as of their limits: a job's rate is
that at which a larger one takes longer than a smaller one.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable

import keras
import numpy as np

from benchmarks.speed.inputs import BEAM, Inputs
from benchmarks.speed.measuring import (
    CORES,
    Result,
    captioner,
    core_seconds,
    each,
    in_turns,
    seconds,
)
from captioner import encoders, images
from captioner.encoders import engines

BATCH_SIZE = 32
ONE_BY_ONE = 16  # images


def measure(inputs: Inputs, rounds: int) -> list[Result]:
    """Both jobs by their best engine, and extraction by each engine beside its own bare rate."""
    jobs = Jobs(inputs)
    best = engines.choose("auto")
    names = sorted({best, "tensorflow"})
    contestants: dict[str, Callable[[], float]] = {
        "decode": jobs.decode,
        "one by one": jobs.one_by_one,
        "caption": lambda: jobs.job("caption", best),
    }
    for name in names:
        contestants[f"bare {name}"] = bare(jobs, name)
        contestants[f"extract {name}"] = lambda name=name: jobs.job("extract", name)
    found = in_turns(contestants, rounds)
    return [*_beside_the_limit(found, best), *(_own_rate(found, name) for name in names)]


def _beside_the_limit(found: dict[str, float], best: str) -> list[Result]:
    limit = found["decode"] / CORES + found[f"bare {best}"]
    extract, caption = found[f"extract {best}"], found["caption"]
    told = f"{{:.1f}} images a second, the limit is {1 / limit:.1f}"
    one_by_one = found["one by one"]
    return [
        Result("extract / limit", limit / extract, 0.85, told.format(1 / extract)),
        Result("caption, beam width 3 / limit", limit / caption, 0.8, told.format(1 / caption)),
        Result(
            "extract / one image at a time",
            one_by_one / extract,
            10,
            f"{1 / extract:.1f} and {1 / one_by_one:.1f} images a second",
        ),
    ]


def _own_rate(found: dict[str, float], name: str) -> Result:
    limit = found["decode"] / CORES + found[f"bare {name}"]
    job = found[f"extract {name}"]
    told = f"{1 / job:.1f} images a second, at most {1 / limit:.1f}"
    return Result(f"extract by {name} / its own bare rate", limit / job, 0.9, told)


class Jobs:
    """What is measured: each returns seconds an image."""

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs
        self.encoder = encoders.create(
            inputs.encoder, inputs.weights, image_size=inputs.image_size, engine="tensorflow"
        )
        self.files = [file.read_bytes() for file in inputs.files(4 * BATCH_SIZE)]
        self.pixels = np.stack([self._decode(data) for data in self.files[:BATCH_SIZE]])

    def job(self, verb: str, engine: str) -> float:
        """A whole job; `extract` or `caption`."""
        return each(lambda count: self._run(verb, engine, count), self.inputs.count)

    def decode(self) -> float:
        """Core-seconds."""
        return core_seconds(lambda: [*map(self._decode, self.files)]) / len(self.files)

    def one_by_one(self) -> float:
        """Files as the projects this one grew from read them, and one image at a time."""

        def extract() -> None:
            for path in self.inputs.files(ONE_BY_ONE):
                image = keras.utils.load_img(path, target_size=[self.inputs.image_size] * 2)
                pixels = np.expand_dims(keras.utils.img_to_array(image), axis=0)
                self.encoder.network.predict(pixels.astype(np.uint8), verbose=0)

        return seconds(extract) / ONE_BY_ONE

    def _decode(self, data: bytes) -> np.ndarray:
        return images.decode(data, self.encoder.spec.image_size).pixels

    def _run(self, verb: str, engine: str, count: int) -> None:
        output = self.inputs.work / "output"
        shutil.rmtree(output, ignore_errors=True)
        what = ["--input", self.inputs.some(count), "--output", output, "--engine", engine]
        if verb == "extract":
            captioner("extract", *what, *self.inputs.encoding)
        else:
            captioner("caption", *what, "--model", self.inputs.model(), "--width", BEAM)


def bare(jobs: Jobs, name: str) -> Callable[[], float]:
    """An engine at its best on ready pixels, measured in seconds an image."""
    if name == "tensorflow":
        network, pixels = jobs.encoder.network, jobs.pixels
        network.predict_on_batch(pixels)
        return lambda: seconds(lambda: [network.predict_on_batch(pixels) for _ in range(4)]) / 128
    return _bare_openvino(jobs)


def _bare_openvino(jobs: Jobs) -> Callable[[], float]:
    """OpenVINO as its own examples have it: requests that never wait for one another."""
    precision = engines.best_precision("openvino")
    queue = engines.compiled(jobs.encoder.network, precision)
    parts = np.split(jobs.pixels, len(jobs.pixels) // engines.IMAGES)

    def infer() -> None:
        for part in parts * 8:
            queue.start_async({0: part})
        queue.wait_all()

    infer()
    return lambda: seconds(infer) / (8 * len(jobs.pixels))
