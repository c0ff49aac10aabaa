"""How soon a million captions say which of them are like one.

    python -m benchmarks.similar [COUNT]

The captions are made up, of 7 to 13 words of which some are far more frequent than others; hardly
two are the same, which is the worst case: a text that many images share is compared once.
"""

from __future__ import annotations

import argparse
import random
import statistics
from collections.abc import Iterator

from benchmarks.flat_cost import peak_memory
from benchmarks.speed.inputs import WORDS
from benchmarks.speed.measuring import seconds
from captioner.similarity import Captioned, SimilarCaptions

QUERIES = 200


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("count", nargs="?", type=int, default=1_000_000, help="of captions")
    count = parser.parse_args().count
    found = SimilarCaptions([])
    before = peak_memory()

    def load() -> None:
        nonlocal found
        found = SimilarCaptions(captioned(count))

    took = seconds(load)
    queries = [image.caption for image in captioned(QUERIES)]
    times = [seconds(lambda text=text: found.like(text, 10, 0.5)) for text in queries]
    print(f"{count:,} captions: ready after {took:.0f} s, {peak_memory() - before:.0f} MB")
    middle, longest = 1000 * statistics.median(times), 1000 * max(times)
    print(f"a query: {middle:.1f} ms, the longest of {QUERIES} {longest:.1f} ms")


def captioned(count: int) -> Iterator[Captioned]:
    """Made-up captions, always the same."""
    drawn = random.Random(0)
    weights = [1 / place for place in range(1, len(WORDS) + 1)]
    for number in range(count):
        caption = " ".join(drawn.choices(WORDS, weights, k=drawn.randint(7, 13)))
        yield Captioned(f"{number // 1000:04d}/{number:07d}.jpg", "", caption)


if __name__ == "__main__":
    main()
