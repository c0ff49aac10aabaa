"""The tables of docs/scaling.md: how they are reckoned, and that they are what is printed."""

from __future__ import annotations

import dataclasses
import re
import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import sizing
from benchmarks.sizing import Figures, size

DOC = (Path(__file__).parents[1] / "docs/scaling.md").read_text()
PRINTED = re.findall(r"^    python -m benchmarks\.sizing(.*)\n\n((?:\|.*\n)+)", DOC, re.MULTILINE)
FREE = Figures(
    price=0,
    write_price=0,
    read_price=0,
    storage_price=0,
    egress_price=0,
    shuffle_price=0,
)


def test_a_machine_hour_is_worked_out_by_hand() -> None:
    figures = dataclasses.replace(FREE, images_per_second=10, plan_seconds=0, price=2, hours=5)
    found = size(figures, 360_000)
    assert (found.machine_hours, found.machines, found.machine_cost) == (10, 2, 20)
    assert found.others_cost == 0


def test_a_spot_machine_is_cheaper_and_does_some_of_it_again() -> None:
    figures = dataclasses.replace(
        FREE, images_per_second=10, plan_seconds=0, price=2, spot=0.5, lost=0.1
    )
    assert size(figures, 360_000).spot_cost == pytest.approx(11)


def test_requests_and_gigabytes_have_their_prices() -> None:
    figures = dataclasses.replace(
        FREE, shard_size=100, image_bytes=1e6, write_price=1, read_price=0.1, egress_price=3
    )
    found = size(figures, 10_000)
    assert (found.list_requests, found.shards) == (10, 100)
    assert found.list_cost == pytest.approx(0.01)
    assert found.write_cost == pytest.approx(sizing.WRITES_A_SHARD * 0.1)
    assert found.read_cost == pytest.approx((10_000 + sizing.READS_A_SHARD * 100) / 1000 * 0.1)
    assert found.egress_cost == pytest.approx(30)
    together = found.list_cost + found.write_cost + found.read_cost + found.egress_cost
    assert found.others_cost == pytest.approx(together)


def test_directories_are_listed_at_once() -> None:
    one = dataclasses.replace(FREE, directories=1, list_seconds=0.25)
    assert size(one, 1e9).list_hours == pytest.approx(1e6 * 0.25 / 3600)
    many = dataclasses.replace(one, directories=50)
    assert size(many, 1e9).list_hours == pytest.approx(size(one, 1e9).list_hours / 50)


@given(st.integers(1, 10**9), st.integers(1, 10**4))
def test_every_image_has_a_shard_and_the_machines_are_in_time(images: int, shard: int) -> None:
    figures = Figures(shard_size=shard)
    found = size(figures, images)
    assert 0 <= found.shards * shard - images < shard
    assert (found.machines - 1) * figures.hours < found.machine_hours
    assert found.machine_hours <= found.machines * figures.hours


@pytest.mark.parametrize("arguments, table", PRINTED)
def test_the_document_has_what_the_command_prints(
    arguments: str, table: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sizing.main(shlex.split(arguments))
    assert capsys.readouterr().out == table


def test_the_document_has_all_tables() -> None:
    assert len(PRINTED) == 3
