"""A caption output's films, each as a file of subtitles."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from captioner import captions, shards, storage, videos
from captioner.captions import CaptionRecord
from captioner.errors import UserError
from captioner.tasks import shared_id
from captioner.videos import EVERY, Stretch
from captioner.videos.writing import SUBTITLES

_LONGEST = 80  # bytes of a film's name that its file's name has


def write(output: str, directory: str, format: str) -> int:
    """Write the captions of each film in `output` to a file in `directory`.

    Of a film that was replaced, those of what it shows now. The frames' captions are held in
    memory, all films'.

    Args:
        format: of `SUBTITLES`.

    Returns:
        How many files were written.

    Raises:
        UserError: no film is captioned there.
    """
    films = _films(output)
    if not films:
        raise UserError(f"{output}: there is no film among what is captioned here")
    for film, stretches in films.items():
        parts = SUBTITLES[format](videos.merged(stretches))
        storage.replace(storage.join(directory, file_name(film, format)), "".join(parts).encode())
    return len(films)


def file_name(film: str, format: str) -> str:
    """The name of a film's file: letters and digits of its own, and a hash of its id.

    So it leads nowhere whatever the film is called, and no two films have the same.
    """
    name = re.sub(r"[^\w.-]+", "_", storage.name(film)).strip("._")
    name = name.encode()[:_LONGEST].decode(errors="ignore")
    return f"{name}-{hashlib.sha256(film.encode()).hexdigest()[:8]}.{format}"


class _Told(NamedTuple):
    """What an index tells of a frame, or of a film as a whole.

    `stamp` is that of the film's version; empty where the output is of features, whose is another.
    """

    run: str
    stamp: str
    failed: bool


def _films(output: str) -> dict[str, list[Stretch]]:
    """Each film's frames that have a caption, by its id."""
    newest = captions.outcomes(output)
    captioned: dict[str, dict[float, CaptionRecord]] = defaultdict(dict)
    for record in captions.standing(output, newest):
        if frame := videos.frame_of(record.id):
            film, seconds = frame
            captioned[film][seconds] = record
    told = _told(output, newest) if captioned else {}
    return {film: [*_stretches(frames, told[film])] for film, frames in captioned.items()}


def _told(output: str, newest: dict[str, str]) -> dict[str, dict[float | None, _Told]]:
    """What is told by film and seconds; at None of the film as a whole, as one that isn't read."""
    told: dict[str, dict[float | None, _Told]] = defaultdict(dict)
    for summary, outcomes in map(shards.read_index, shards.finished(output)):
        for one in outcomes:
            film, seconds = videos.frame_of(one.id) or (one.id, None)
            if newest.get(one.id) == summary.task and videos.is_video(shared_id(film)):
                stamp = "" if one.stamp == one.content_hash else one.stamp
                told[film][seconds] = _Told(summary.run, stamp, bool(one.failure))
    return told


def _stretches(
    captioned: dict[float, CaptionRecord], told: dict[float | None, _Told]
) -> Iterator[Stretch]:
    """A film's frames up to the next one each, be that one that failed."""
    shown = _shown_now(captioned, told)
    failed = {seconds for seconds, one in told.items() if one.failed and seconds is not None}
    starts = sorted({*shown, *failed})
    usual = min((after - start for start, after in itertools.pairwise(starts)), default=EVERY)
    for start, after in itertools.zip_longest(starts, starts[1:]):
        if record := shown.get(start):
            end = start + usual if after is None else after
            yield Stretch(start, end, record.caption, record.log_probability)


def _shown_now(
    captioned: dict[float, CaptionRecord], told: dict[float | None, _Told]
) -> dict[float, CaptionRecord]:
    """The frames that are not of an earlier version of the film.

    A run over all there is comes to a film's first frame, or fails at the film as a whole: that is
    its version. What ran later tried failures again, and keeps what stands.
    """
    known = [told[seconds] for seconds in (0.0, None) if seconds in told]
    if not known:
        return captioned
    latest = max(known, key=lambda one: one.run)
    # A compacted output's indexes are of one run, its captions of those that made them.
    run = captioned[0.0].run if latest is known[0] and 0.0 in captioned else latest.run
    return {
        seconds: record
        for seconds, record in captioned.items()
        if "" in (latest.stamp, told[seconds].stamp)
        or told[seconds].stamp == latest.stamp
        or record.run > run
    }
