"""Reading the manifests of a job's output, and what is wrong with them."""

from __future__ import annotations

import json

from captioner import shards
from captioner.shards import Summary
from captioner.verifying.report import Files, Named, Problem, said


def read_manifests(files: Files, problems: list[Problem]) -> dict[str, Named]:
    """The shards that manifests describe, by their data file. Adds to `problems` what it finds."""
    named: dict[str, Named] = {}
    for manifest in sorted(files.manifests):
        try:
            summaries = _summaries(json.loads(files.read(manifest)))
        except (ValueError, TypeError, KeyError) as error:
            problems.append(Problem(manifest, "unreadable", said(error)))
            continue
        for summary in summaries:
            other = named.setdefault(summary.file, Named(summary, manifest))
            if other.summary != summary:
                detail = f"{other.manifest} says otherwise of {summary.file}"
                problems.append(Problem(manifest, "altered", detail))
    return named


def _summaries(manifest: dict) -> list[Summary]:
    if manifest["format"] != shards.MANIFEST_FORMAT:
        raise ValueError("of another version of captioner")
    made = [Summary(**values) for values in manifest["shards"]]
    if sum(summary.done for summary in made) != manifest["images"]["done"]:
        raise ValueError("its shards have not as many results as it says")
    return made + [Summary(**values) for values in manifest["adopted"]]
