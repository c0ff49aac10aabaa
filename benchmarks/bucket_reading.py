"""What training's passes over features in a bucket cost, copied here first or streamed.

    python -m benchmarks.bucket_reading s3://bucket/benchmark --images 2048 --shape 10 10 2048

Writes made-up features to the directory, unless there are some: of 100 values 69 are zeros, as in
Xception's. Each way reads them in a process of its own, and says how many seconds it takes until
the first pass can begin, and how many each pass takes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

import numpy as np

from captioner import datafiles, records, storage
from captioner.encoders import EncoderSpec, NetworkSpec
from captioner.records import FeatureDataset, FeatureRecord

IMAGES_PER_SHARD = 256
PASSES = 3


def make(directory: str, images: int, shape: tuple[int, ...]) -> None:
    """Write a dataset of made-up features: one shard, many times."""
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as place:
        path = os.path.join(place, "shard")
        spool = records.open_spool(path)
        for number in range(IMAGES_PER_SHARD):
            values = np.maximum(random.normal(-0.5, 1, shape), 0).astype(np.float16)
            spool.write(FeatureRecord(str(number), "", "", 1, 1, values, ("a dog",)).to_bytes())
        spool.close()
        with open(path, "rb") as file:
            data = file.read()
    files = [f"shards/{n:05d}.{datafiles.FEATURES}" for n in range(images // IMAGES_PER_SHARD)]
    for file in files:
        storage.replace(storage.join(directory, file), data)
    networks = (NetworkSpec("xception", "", 299, "none"),)
    spec = EncoderSpec(networks, "grid", 0, "float32", "0")
    counts = {"train": len(files) * IMAGES_PER_SHARD}
    FeatureDataset(directory, spec, "", shape, counts, {"train": tuple(files)}, 0).save()


def read(directory: str, way: str) -> dict[str, object]:
    """Read a dataset some times, in this process."""
    if way == "streamed":
        storage.copies.room = lambda: 0
    dataset = FeatureDataset.load(directory)
    started = time.perf_counter()
    found = dataset.records("train", shuffle_seed=0)
    seconds = [time.perf_counter() - started]
    for _ in range(PASSES):
        started = time.perf_counter()
        count = sum(1 for _ in found)
        seconds.append(time.perf_counter() - started)
    assert count == dataset.counts["train"]
    return {
        "way": way,
        "before": round(seconds[0], 1),
        "passes": [round(s, 1) for s in seconds[1:]],
    }


def main() -> None:
    """Make the features and read them both ways, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory")
    parser.add_argument("--images", type=int, default=2048)
    parser.add_argument("--shape", type=int, nargs="+", default=[10, 10, 2048])
    parser.add_argument("--way", choices=("copied", "streamed"))
    parsed = parser.parse_args()
    if parsed.way:
        print(json.dumps(read(parsed.directory, parsed.way)))
        return
    if not records.is_dataset(parsed.directory):
        make(parsed.directory, parsed.images, tuple(parsed.shape))
    size = sum(entry.size for entry in storage.walk(storage.join(parsed.directory, "shards")))
    print(f"{size / 1e9:.2f} GB")
    for way in ("copied", "streamed"):
        command = [sys.executable, "-m", "benchmarks.bucket_reading", parsed.directory]
        subprocess.run([*command, "--way", way], check=True)


if __name__ == "__main__":
    main()
