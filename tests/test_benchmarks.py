"""What the benchmarks are reckoned by."""

from __future__ import annotations

from benchmarks.speed.measuring import Result, in_turns


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
