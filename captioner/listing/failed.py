"""The failures of an earlier run as an input: images to try again.

``OUTPUT/failures``, or one file in it, names the images of that output whose newest outcome is a
failure. Each keeps its id; the stamps are looked up anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from captioner import shards, storage, videos
from captioner.archives import places
from captioner.listing.listed import Listed, enter, holds_images, look_up
from captioner.tasks import shared_id

_FAILURES = "failures"

# id: run, task, reason or empty, uri, source. The greatest of an id is its newest.
Ended = tuple[str, tuple[str, str, str, str, str]]
# (uri, id) of an archive or film: the id and the URI of a member or frame that failed
Member = tuple[tuple[str, str], tuple[str, str]]


def output_of(source: str) -> str | None:
    """The output directory whose failures an input is; None for any other input."""
    directory, _, name = source.rstrip("/").rpartition("/")
    if shards.is_index(name):
        directory, _, name = directory.rpartition("/")
    return directory if name == _FAILURES and _is_output(directory) else None


def _is_output(directory: str) -> bool:
    """Whether there are indexes in a directory: photos may lie beside an ``index`` too."""
    index = storage.join(directory, "index")
    if not storage.is_directory(index):
        return False
    return any(shards.is_index(storage.name(entry.uri)) for entry in storage.walk(index))


def ids_in(source: str, output: str) -> frozenset[str] | None:
    """The ids that an input is restricted to: those of one file; None for the whole directory."""
    if source.rstrip("/") == storage.join(output, _FAILURES):
        return None
    return frozenset(failure.id for failure in shards.read_failures(source))


def outcomes(index: str) -> Iterator[Ended]:
    """How the images of a finished shard ended, given its index."""
    summary, ended = shards.read_index(index)
    sources = _sources(index, summary.failures_sha256) if summary.failed else {}
    for one in ended:
        state = (one.failure, one.uri, sources.get(one.id, ""))
        yield one.id, (summary.run, summary.task, *state)


def to_retry(ended: Ended, ids: frozenset[str] | None) -> Iterator[Listed | Member]:
    """An image's newest outcome as the image to try again; nothing if there is a result.

    A member of an archive comes as a `Member`: the archive has to be listed anew. So does a frame.
    """
    id, (_, _, failure, uri, source) = ended
    if not failure or not uri or (ids is not None and id not in ids):
        return
    if holds_images(source):
        yield (source, _whole_id(id, uri, source)), (id, uri)
    else:
        yield id, (uri, "", "", "")


def in_archive(
    grouped: tuple[tuple[str, str], Iterable[tuple[str, str]]], every: float | None = None
) -> Iterator[Listed]:
    """The failed members of one archive as it is now, or the failed frames of one film.

    All its members where it could not be listed to its end. What is no longer in it is kept, and
    fails when it is read. A film is not listed for its frames, which may be those of other times
    than `every` makes now.
    """
    (source, archive_id), members = grouped
    wanted = dict(members)
    is_whole = wanted.pop(archive_id, None) is not None
    whole = look_up((archive_id, (source, "", "", "")))
    if videos.is_video(source):
        in_order = sorted(wanted.items(), key=lambda one: videos.seconds_of(one[1], source) or 0)
        for number, (id, uri) in enumerate(in_order):
            yield id, (uri, whole[1][1], source, videos.group_of(source, number))
        if is_whole:
            yield from (listed for listed in enter(whole, every) if listed[0] not in wanted)
        return
    # By name, as several that differ only in Unicode's normalisation are listed under one id.
    names = {places.place_of(uri, source).get("name"): id for id, uri in wanted.items()}
    renamed = {}
    for id, place in enter(whole):
        found = names.get(places.place_of(place[0], source).get("name"))
        if found in wanted:
            del wanted[found]
            yield found, place
        elif is_whole:
            wanted.pop(id, None)
            yield id, place
        elif id in wanted:
            renamed[id] = place
    for id, uri in wanted.items():
        name = places.place_of(uri, source).get("name", "")
        gone = places.uri_of(source, places.Inside(name, "", {"missing": 1}))
        yield id, renamed.get(id, (gone, "", source, source))


def everything(source: str, output: str, every: float | None = None) -> Iterator[Listed]:
    """The images to try again, one after the other; a job lists the same in parallel."""
    newest: dict[str, tuple[str, str, str, str, str]] = {}
    for index in shards.finished(output):
        for id, ended in outcomes(index):
            newest[id] = max(ended, newest.get(id, ended))
    ids = ids_in(source, output)
    inside: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for ended in newest.items():
        for found in to_retry(ended, ids):
            if isinstance(found[0], tuple):
                inside.setdefault(found[0], []).append(found[1])
            else:
                yield look_up(found)
    for grouped in inside.items():
        yield from in_archive(grouped, every)


def _whole_id(id: str, uri: str, source: str) -> str:
    """The id of the archive or the film that a member or a frame is of."""
    if videos.is_video(source):
        frame = None if videos.seconds_of(uri, source) is None else videos.frame_of(id)
        return frame[0] if frame else id
    return places.archive_id(shared_id(id), uri, source)


def _sources(index: str, sha256: str) -> dict[str, str]:
    """The files that failed images are inside of, by id."""
    directory, _, name = index.rpartition("/")
    failures = storage.join(directory.rpartition("/")[0], _FAILURES, name)
    return {failure.id: failure.source for failure in shards.read_failures(failures, sha256)}
