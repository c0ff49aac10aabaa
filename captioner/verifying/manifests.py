"""Reading the manifests of a job's output, and what is wrong with them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from captioner import shards
from captioner.shards import Summary
from captioner.verifying.report import Files, Named, Problem, said

_REMEDY = "delete it and run that job's command again, which adopts its shards"

# What manifests say of each data file. Several where a shard was deleted and made again.
Claims = dict[str, list[Named]]


def read_manifests(files: Files, problems: list[Problem]) -> Claims:
    """What manifests say of shards, the latest last. Adds to `problems` what it finds."""
    claims: Claims = {}
    for manifest in sorted(files.manifests):
        try:
            values = _parse(files.read(manifest))
            made, adopted = (_summaries(values[name]) for name in ("shards", "adopted"))
            found = [*_contradictions(manifest, values, made, adopted)]
        except shards.UNREADABLE as error:
            problems.append(Problem(manifest, "unreadable", f"{said(error)}; {_REMEDY}"))
            continue
        found += _add(claims, manifest, made + adopted)
        problems += (Problem(manifest, "altered", f"{detail}; {_REMEDY}") for detail in found)
    return claims


def _parse(content: bytes) -> dict[str, Any]:
    values = json.loads(content)
    if values["format"] != shards.MANIFEST_FORMAT:
        raise ValueError("of another version of captioner, or altered")
    return values


def _summaries(rows: list[dict[str, Any]]) -> list[Summary]:
    return [Summary(**row) for row in rows]


def _add(claims: Claims, manifest: str, summaries: list[Summary]) -> Iterator[str]:
    """Add what a manifest says of shards; yields in what it contradicts an earlier one."""
    for summary in summaries:
        known = claims.setdefault(summary.file, [])
        same = [other for other in known if other.summary.run == summary.run]
        if not same:
            known.append(Named(summary, manifest))
        elif same[0].summary != summary:
            yield f"{same[0].manifest} says otherwise of {summary.file}"


def _contradictions(
    manifest: str, values: dict[str, Any], made: list[Summary], adopted: list[Summary]
) -> Iterator[str]:
    """In what a manifest contradicts itself."""
    if manifest != f"runs/{values['run']}.json":
        yield "it is not called as its run"
    yield from _wrong_counts(values["images"], made)
    if values["asked"].get("verb") == shards.COMPACT:
        if {summary.run for summary in made} - {values["run"]}:
            yield "its shards are of another run"
    elif {summary.settings for summary in made + adopted} - {values["settings"]}:
        yield "its shards are of other settings"


def _wrong_counts(images: dict[str, Any], made: list[Summary]) -> Iterator[str]:
    failed: Counter[str] = Counter()
    for summary in made:
        failed.update(summary.failed)
    if images["done"] != sum(summary.done for summary in made):
        yield "its shards have not as many results as it says"
    if images["deduplicated"] != sum(summary.deduplicated for summary in made):
        yield "its shards have not as many deduplicated results as it says"
    if Counter(images["failed"]) != failed:
        yield "its shards have not the failures that it says"
    ended = images["done"] + sum(images["failed"].values())
    if images["seen"] != ended + images["skipped"] + images["failed_before"]:
        yield "its counts of images don't add up"
