"""The clock that tells when something takes too long."""

from __future__ import annotations

import time

from captioner.threads import Clock


def test_a_clock_counts_while_it_runs_and_stands_still_in_a_pause():
    clock = Clock(100.0)
    assert clock.left() == 100.0
    with clock:
        time.sleep(0.002)
        with clock.pause():
            left = clock.left()
            time.sleep(0.002)
            assert clock.left() == left < 100.0
        time.sleep(0.002)
        assert clock.left() < left
        clock.restart()
        assert clock.left() > left
    assert clock.left() == 100.0


def test_a_pause_starts_no_clock():
    clock = Clock(100.0)
    with clock.pause():
        pass
    time.sleep(0.002)
    assert clock.left() == 100.0
