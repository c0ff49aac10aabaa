"""What a run's manifest says, made from its shards' summaries."""

from __future__ import annotations

import dataclasses
import datetime
from collections import Counter
from collections.abc import Mapping
from typing import Any

from captioner.shards.summary import MANIFEST_FORMAT, Summary


def manifest_of(
    run: str,
    settings: str,
    asked: dict[str, Any],
    versions: dict[str, str],
    made: list[Summary],
    tally: Mapping[str, int],
) -> dict[str, Any]:
    """A run's manifest as docs/contracts.md has it, but for what it adopted.

    Args:
        run: its id, which tells when it began.
        settings: fingerprint of what decides its results.
        asked: what the user asked for.
        versions: of what it ran on.
        made: its shards.
        tally: images that were seen, skipped, and so on, by name; "current:SPLIT" too.
    """
    failed: Counter[str] = Counter()
    seconds: Counter[str] = Counter()
    for summary in made:
        failed.update(summary.failed)
        seconds.update(summary.seconds)
    elapsed = (datetime.datetime.now(datetime.UTC) - _started(run)).total_seconds()
    done = sum(summary.done for summary in made)
    return {
        "format": MANIFEST_FORMAT,
        "run": run,
        "asked": asked,
        "settings": settings,
        "versions": versions,
        "images": {
            "seen": tally.get("seen", 0),
            "done": done,
            "deduplicated": sum(summary.deduplicated for summary in made),
            "failed": dict(sorted(failed.items())),
            "skipped": tally.get("skipped", 0),
            "failed_before": tally.get("failed_before", 0),
            "absent": tally.get("absent", 0),
        },
        "current": {
            name.removeprefix("current:"): number
            for name, number in sorted(tally.items())
            if name.startswith("current:")
        },
        "seconds": round(elapsed, 3),
        "seconds_by_stage": {name: round(value, 3) for name, value in sorted(seconds.items())},
        "models": dict(sorted(Counter(model for one in made for model in one.models).items())),
        "images_per_second": round((done + failed.total()) / max(elapsed, 1e-3), 3),
        "shards": [dataclasses.asdict(summary) for summary in made],
    }


def _started(run: str) -> datetime.datetime:
    """When a run began, which its id tells."""
    return datetime.datetime.strptime(run.split("-")[0], "%Y%m%dT%H%M%S.%fZ").replace(
        tzinfo=datetime.UTC
    )
