"""PLAN: what is still to do of each id."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.pvalue import TaggedOutput

from captioner import shards, storage, videos
from captioner.tasks import Reference, twin_id
from pipelines.job import Job


class Decide(beam.DoFn):
    """What is still to do of one id: its `Reference`, or nothing.

    Under the tag "tally" goes what became of it: "seen" and, if it is not done again, "skipped" or
    "failed_before"; "absent" if it is no longer there; "current:SPLIT" if it has a result already.

    Names that differ only in Unicode's normalisation are one id here, and are told apart.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._to_do = Metrics.counter("captioner", "images_to_do")

    def process(
        self, joined: tuple[str, dict[str, Iterable[Any]]]
    ) -> Iterator[tuple | TaggedOutput]:
        id, known = joined
        references = references_of(id, known["listed"], known["captions"], self._job)
        before = newest_of(known["done"])
        suspect = any(known["suspects"])
        for name in before.keys() | references.keys():
            reference, outcome = references.get(name), before.get(name)
            stands = self._stands(reference, outcome)
            for counted in tally_of(reference, outcome, stands, self._job.is_partial):
                yield TaggedOutput("tally", (counted, 1))
            if reference and not stands:
                self._to_do.inc()
                after = outcome[0] if outcome else ""
                yield tuple(reference._replace(after=after, suspect=suspect))

    def _stands(self, reference: Reference | None, outcome: tuple | None) -> bool:
        if reference is None:
            return True
        return not self._job.options.force and still_holds(reference, outcome)


def references_of(
    id: str, listed: Iterable[tuple], captions: Iterable[tuple], job: Job
) -> dict[str, Reference]:
    """The images to do for an id, from what was listed and captioned under it, each by its own."""
    if job.from_features:
        newest = max(listed, key=lambda place: place[3], default=("",))
        listed = [newest] if newest[0] else []
    found = {place[0]: place for place in sorted(listed)}
    if not found:
        return {}
    split, texts, languages = next(iter(captions), ("", (), ()))
    told = {"split": split, "captions": texts, "languages": languages}
    version = shards.fingerprint(told) if job.captions else ""
    references = {}
    for name, (uri, stamp, source, group) in named(id, found, job.input).items():
        stamp = f"{stamp}:{version}" if version else stamp
        known = Reference(name, uri, stamp, source, group, split)
        references[name] = known._replace(captions=tuple(texts), languages=tuple(languages))
    return references


def named(id: str, found: dict[str, tuple], root: str) -> dict[str, tuple]:
    """Files that share an id (by URI), each by an id of its own.

    The one that is called so has the id, or the first. The others have it with a hash behind; all
    frames of a film with the same.
    """
    if len(found) == 1:
        return dict.fromkeys([id], *found.values())
    names = {uri: uri.removeprefix(storage.join(root, "")) for uri in found}
    first = min(found, key=lambda uri: (names[uri] != id, uri))
    for uri, (_, _, source, _) in found.items():
        if videos.is_video(source):
            names[uri] = source.removeprefix(storage.join(root, ""))
    return {id if uri == first else twin_id(id, names[uri]): place for uri, place in found.items()}


def newest_of(done: Iterable[tuple]) -> dict[str, tuple]:
    """The newest of earlier outcomes, (run, stamp, failure, permanent, split), of each id."""
    newest: dict[str, tuple] = {}
    for id, *outcome in done:
        newest[id] = max(tuple(outcome), newest.get(id, ()))
    return newest


def still_holds(reference: Reference, before: tuple | None) -> bool:
    """Whether an earlier outcome of an image stands, so that there is nothing to do."""
    if before is None:
        return False
    _, stamp, failure, permanent, _ = before
    return stamp == reference.stamp and (not failure or permanent)


def tally_of(
    reference: Reference | None, before: tuple | None, stands: bool, is_partial: bool = False
) -> Iterator[str]:
    """The names under which an id is counted, see `Decide`."""
    if reference:
        yield "seen"
    elif not is_partial:
        yield "absent"
    if before and stands:
        failure, split = before[2], before[4]
        if reference:
            yield "failed_before" if failure else "skipped"
        if not failure:
            yield f"current:{split}"
