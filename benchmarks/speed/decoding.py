"""Photos as phones make them, and decoding that hides behind inference."""

from __future__ import annotations

import dataclasses
import io
import shutil
import time
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from benchmarks.speed.inputs import Inputs, draw_photos, many
from benchmarks.speed.measuring import CORES, Result, core_seconds, cosines, each, in_turns
from captioner import datafiles, encoders, images, records, shards
from pipelines import extract_features, jobs
from pipelines.inference import HalvingHandler
from pipelines.job import Job

SIZE = 299
TWELVE_MEGAPIXELS = (4032, 3024)
BATCH_SIZE = 32


def measure(inputs: Inputs, rounds: int) -> list[Result]:
    """Decoding of large photos, what it does to features, and that it hides."""
    directory = inputs.work / "phone"
    if not directory.exists():
        draw_photos(directory, inputs.count // 32, TWELVE_MEGAPIXELS)
    drawn = sorted(directory.iterdir())
    files = [file.read_bytes() for file in drawn]
    several = many(drawn, inputs.count, directory.with_name("phone_many"))
    phones = dataclasses.replace(inputs, photos=several, work=directory.with_name("phone_work"))
    return [*_large(files, inputs.weights, rounds), _hidden(files, phones, rounds)]


def _large(files: Sequence[bytes], weights: str, rounds: int) -> list[Result]:
    found = in_turns(
        {"ours": lambda: _each(_ours, files), "plain": lambda: _each(_plainly, files)}, rounds
    )
    encoder = encoders.create("xception", weights, engine="tensorflow")
    ours = encoder.encode(np.stack([*map(_ours, files)]))
    plain = encoder.encode(np.stack([*map(_plainly, files)]))
    told = f"{1000 * found['ours']:.0f} and {1000 * found['plain']:.0f} ms a photo"
    lowest = float(cosines(ours, plain).min())
    return [
        Result("decode 12 megapixels / Pillow", found["plain"] / found["ours"], 4, told),
        Result("their features, cosine", lowest, 0.99, f"the lowest of {len(files)} photos"),
    ]


def _each(decode: Callable[[bytes], np.ndarray], files: Sequence[bytes]) -> float:
    """Core-seconds a photo."""
    return core_seconds(lambda: [*map(decode, files)]) / len(files)


def _ours(data: bytes) -> np.ndarray:
    return images.decode(data, SIZE).pixels


def _plainly(data: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(data)).convert("RGB")
    return np.asarray(image.resize((SIZE, SIZE)))


def _hidden(files: Sequence[bytes], inputs: Inputs, rounds: int) -> Result:
    """A network that only waits, as long as the cores decode: is it both at once?"""

    def decode() -> float:
        return _each(_ours, files)

    def job() -> float:
        return each(lambda count: _run(inputs, count, Waiting(wait)), inputs.count)

    wait = max(decode() for _ in range(3)) / CORES
    found = in_turns({"decode": decode, "job": job}, rounds)
    slower = max(wait, found["decode"] / CORES)
    told = f"{1000 * found['job']:.2f} ms an image, the slower of both {1000 * slower:.2f}"
    return Result("decoding behind a network that waits", found["job"] / slower, 1.1, told, True)


class Waiting:
    """A `Network` that takes a time and computes nothing; and what loads it, itself."""

    def __init__(self, per_image: float) -> None:
        self._seconds = per_image

    def __call__(self) -> Waiting:
        return self

    def infer(self, batch: np.ndarray) -> np.ndarray:
        """Nothing, for each of a batch."""
        time.sleep(self._seconds * len(batch))
        return np.zeros((len(batch), 4), np.float32)


def _run(inputs: Inputs, count: int, load: Callable[[], Waiting]) -> None:
    """An extract job with another network, in this process."""
    output = inputs.work / "waited"
    shutil.rmtree(output, ignore_errors=True)
    job = Job(str(inputs.some(count)), str(output), shards.new_run(), "waiting", datafiles.FEATURES)
    work = jobs.Work(
        handler=HalvingHandler(load, BATCH_SIZE),
        image_size=SIZE,
        open_spool=records.open_spool,
        to_record=extract_features.to_record,
    )
    jobs.run(job, work, {}, [])
