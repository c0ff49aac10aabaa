"""How many machines, how long and how much money a job takes: a table from figures of your own.

    python -m benchmarks.sizing --images 1e9 --images-per-second 25 --price 0.29

Every figure that goes in is an argument. `captioner ... --dry-run` on your images gives the first
ones (images a second, bytes an image); prices are examples, to be replaced by today's.
docs/scaling.md says how the defaults were measured and where the prices come from.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Iterator, Sequence


def _given(default: float, text: str) -> float:
    return dataclasses.field(default=default, metadata={"help": text})


@dataclasses.dataclass(frozen=True)
class Figures:
    """What goes in, each an argument with the text behind it as its help.

    Prices are in one currency. GB are 10^9 bytes, as stores count them.
    """

    images_per_second: float = _given(25.0, "of one machine: reading, decoding, network, writing")
    price: float = _given(0.29, "of one machine an hour")
    spot: float = _given(0.4, "price of a spot machine, as a share of that")
    lost: float = _given(0.05, "share of the work that spot machines lose, to be done again")
    hours: float = _given(24.0, "in which all is to be done")
    plan_seconds: float = _given(0.0004, "of one machine, to list, join and commit one image")
    image_bytes: float = _given(150e3, "of an image in the store")
    record_bytes: float = _given(440.0, "of a caption or of features")
    bookkeeping_bytes: float = _given(450.0, "of an image's line in the index and in the plan")
    shuffle_bytes: float = _given(170.0, "of an image's small records, each time they are shuffled")
    shard_size: float = _given(256.0, "images a shard")
    commit_bytes: float = _given(6500.0, "of memory, a shard, at the commit")
    manifest_bytes: float = _given(541.0, "of the manifest, a shard")
    directories: float = _given(100.0, "right below the input: so many are listed at once")
    list_seconds: float = _given(0.25, "of a request that lists 1,000 objects")
    write_price: float = _given(0.005, "of 1,000 requests that list or write")
    read_price: float = _given(0.0004, "of 1,000 requests that read")
    storage_price: float = _given(0.02, "of a GB for a month")
    egress_price: float = _given(0.0, "of a GB that is read: 0 in the same region")
    shuffle_price: float = _given(0.011, "of a GB that is shuffled; 0 on Spark")


@dataclasses.dataclass(frozen=True)
class Sizing:
    """What comes out, for a number of images.

    Args:
        images: how many.
        machine_hours: of the images, and of planning them.
        machines: so many are done in the time that was given.
        machine_cost, spot_cost: of these hours.
        list_requests, list_hours, list_cost: of listing the input.
        read_bytes, read_cost, egress_cost: of reading the images.
        shards, written_bytes, write_cost: of writing the results.
        storage_cost: of keeping them, a month.
        shuffled_bytes, shuffle_cost: of the plan.
        commit_bytes, manifest_bytes: on the one machine that commits.
    """

    images: float
    machine_hours: float
    machines: int
    machine_cost: float
    spot_cost: float
    list_requests: int
    list_hours: float
    list_cost: float
    read_bytes: float
    read_cost: float
    egress_cost: float
    shards: int
    written_bytes: float
    write_cost: float
    storage_cost: float
    shuffled_bytes: float
    shuffle_cost: float
    commit_bytes: float
    manifest_bytes: float

    @property
    def others_cost(self) -> float:
        """Of all that is no machine, once."""
        requests = self.list_cost + self.read_cost + self.write_cost
        return requests + self.egress_cost + self.shuffle_cost


# A shard's plan, mark, index and data are written; its plan is read, and its data looked for.
WRITES_A_SHARD = 4
READS_A_SHARD = 2
# Joined on the id, and grouped by shard.
SHUFFLES = 2


def size(figures: Figures, images: float) -> Sizing:
    """What a job over `images` takes, all of them new."""
    seconds = images / figures.images_per_second + images * figures.plan_seconds
    hours = seconds / 3600
    shards = math.ceil(images / figures.shard_size)
    requests = math.ceil(images / 1000)
    written = images * (figures.record_bytes + figures.bookkeeping_bytes)
    shuffled = SHUFFLES * images * figures.shuffle_bytes
    read_bytes = images * figures.image_bytes
    return Sizing(
        images=images,
        machine_hours=hours,
        machines=math.ceil(hours / figures.hours),
        machine_cost=hours * figures.price,
        spot_cost=hours * figures.price * figures.spot * (1 + figures.lost),
        list_requests=requests,
        list_hours=requests * figures.list_seconds / figures.directories / 3600,
        list_cost=requests / 1000 * figures.write_price,
        read_bytes=read_bytes,
        read_cost=(images + READS_A_SHARD * shards) / 1000 * figures.read_price,
        egress_cost=read_bytes / 1e9 * figures.egress_price,
        shards=shards,
        written_bytes=written,
        write_cost=WRITES_A_SHARD * shards / 1000 * figures.write_price,
        storage_cost=written / 1e9 * figures.storage_price,
        shuffled_bytes=shuffled,
        shuffle_cost=shuffled / 1e9 * figures.shuffle_price,
        commit_bytes=shards * figures.commit_bytes,
        manifest_bytes=shards * figures.manifest_bytes,
    )


def table(figures: Figures, counts: list[float]) -> str:
    """The sizings of some numbers of images, a column each, in Markdown."""
    sizings = [size(figures, count) for count in counts]
    rows = [["", *(f"{sizing.images:,.0f} images" for sizing in sizings)]]
    rows.append(["---"] * len(rows[0]))
    columns = [list(_cells(figures, sizing)) for sizing in sizings]
    rows += [[cells[0][0], *(value for _, value in cells)] for cells in zip(*columns, strict=True)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cells(figures: Figures, sizing: Sizing) -> Iterator[tuple[str, str]]:
    """A column of the table, each value with the name of its row."""
    yield "machine-hours", _number(sizing.machine_hours)
    yield f"machines, to be done in {figures.hours:g} h", f"{sizing.machines:,}"
    yield "their cost", _money(sizing.machine_cost)
    yield "their cost as spot machines", _money(sizing.spot_cost)
    yield "requests to list the images", f"{sizing.list_requests:,}"
    yield f"… time, {figures.directories:g} directories at once", _duration(sizing.list_hours)
    yield "… cost", _money(sizing.list_cost)
    yield "images read", _size(sizing.read_bytes)
    yield "… cost of requests", _money(sizing.read_cost)
    yield "… cost of egress", _money(sizing.egress_cost)
    yield "written", _size(sizing.written_bytes)
    yield f"… shards of {figures.shard_size:g}", f"{sizing.shards:,}"
    yield "… cost of requests", _money(sizing.write_cost)
    yield "… kept, a month", _money(sizing.storage_cost)
    yield "plan, shuffled", _size(sizing.shuffled_bytes)
    yield "… cost", _money(sizing.shuffle_cost)
    yield "memory of the machine that commits", _size(sizing.commit_bytes)
    yield "… size of the manifest", _size(sizing.manifest_bytes)
    yield "**all together, once**", _money(sizing.machine_cost + sizing.others_cost)
    yield "**on spot machines**", _money(sizing.spot_cost + sizing.others_cost)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _money(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.2f}"


def _duration(hours: float) -> str:
    if hours < 1 / 60:
        return f"{hours * 3600:.0f} s"
    return f"{hours * 60:.0f} min" if hours < 2 else f"{hours:,.1f} h"


def _size(value: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:,.3g} TB"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sizing",
        description=__doc__.partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--images", type=float, nargs="+", default=[1e6, 1e8, 1e9], metavar="N", help="how many"
    )
    for field in dataclasses.fields(Figures):
        name = f"--{field.name.replace('_', '-')}"
        help = field.metadata["help"]
        parser.add_argument(name, type=float, default=field.default, metavar="X", help=help)
    given = vars(parser.parse_args(arguments))
    counts = given.pop("images")
    print(table(Figures(**given), counts))


if __name__ == "__main__":
    main()
