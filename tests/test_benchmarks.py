"""What the benchmarks are reckoned by."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.speed.measuring import Result, in_turns

DOCS = Path(__file__).parents[1] / "docs/performance.md"


def test_contestants_take_turns_and_the_median_counts() -> None:
    turns = []
    figures = {"tortoise": iter([3.0, 9.0, 4.0]), "hare": iter([2.0, 1.0, 8.0])}

    def measured(name: str) -> float:
        turns.append(name)
        return next(figures[name])

    contestants = {name: lambda name=name: measured(name) for name in figures}
    assert in_turns(contestants, 3) == {"tortoise": 4, "hare": 2}
    assert turns == ["tortoise", "hare", "hare", "tortoise", "tortoise", "hare"]


def test_a_ratio_is_met_at_its_target() -> None:
    assert Result("faster", 2.0, 2.0, "").met and not Result("faster", 1.9, 2.0, "").met
    assert Result("smaller", 0.3, 0.3, "", at_most=True).met
    assert not Result("smaller", 0.4, 0.3, "", at_most=True).met


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_quick_form_measures_what_the_docs_show(tmp_path: Path) -> None:
    json_file = tmp_path / "speed.json"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--json", str(json_file)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = json.loads(json_file.read_text())
    shown = {
        counted_out(line.split(" | ")[0].strip("| ")) for line in DOCS.read_text().splitlines()
    }
    assert len(rows) > 15, "of each part some"
    for row in rows:
        assert f"| {row['name']} | " in printed
        assert counted_out(row["name"]) in shown
        assert math.isfinite(row["ratio"])


def counted_out(name: str) -> str:
    """A line's name, whatever number is in it."""
    return re.sub(r"\d[\d,]*", "N", name)
