"""A caption output's films, each as a file of subtitles."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from captioner import captions, shards, storage, videos
from captioner.captions import CaptionRecord
from captioner.errors import UserError
from captioner.videos import EVERY, Stretch
from captioner.videos.writing import SUBTITLES

_LONGEST = 80  # bytes of a film's name that its file's name has


def write(output: str, directory: str, format: str) -> int:
    """Write the captions of each film in `output` to a file in `directory`.

    Of a film that was replaced, those of the newest version's frames. The frames' captions are held
    in memory, all films'.

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
    for film, frames in films.items():
        parts = SUBTITLES[format](videos.merged(_up_to_next(frames)))
        storage.replace(storage.join(directory, file_name(film, format)), "".join(parts).encode())
    return len(films)


def file_name(film: str, format: str) -> str:
    """The name of a film's file: letters and digits of its own, and a hash of its id.

    So it leads nowhere whatever the film is called, and no two films have the same.
    """
    name = re.sub(r"[^\w.-]+", "_", storage.name(film)).strip("._")
    name = name.encode()[:_LONGEST].decode(errors="ignore")
    return f"{name}-{hashlib.sha256(film.encode()).hexdigest()[:8]}.{format}"


def _films(output: str) -> dict[str, list[Stretch]]:
    """The frames that have a caption, by their film's id; of its newest version only."""
    newest = captions.outcomes(output)
    frames: dict[str, list[CaptionRecord]] = defaultdict(list)
    for record in captions.standing(output, newest):
        if frame := videos.frame_of(record.id):
            frames[frame[0]].append(record)
    stamps = _stamps(output, newest) if frames else {}
    return {film: [*map(_from, _latest(records, stamps))] for film, records in frames.items()}


def _stamps(output: str, newest: dict[str, str]) -> dict[str, str]:
    """The version of the film that each frame is of, by the frame's id; empty where unknown."""
    stamps = {}
    for summary, outcomes in map(shards.read_index, shards.finished(output)):
        for outcome in outcomes:
            if newest[outcome.id] == summary.task and videos.frame_of(outcome.id):
                # Captions of features have the frame's own hash for a stamp.
                is_films = outcome.stamp != outcome.content_hash
                stamps[outcome.id] = outcome.stamp if is_films else ""
    return stamps


def _latest(frames: Sequence[CaptionRecord], stamps: dict[str, str]) -> Iterator[CaptionRecord]:
    """Those of a film's frames that are of the version which was captioned last."""
    latest = stamps[max(frames, key=lambda record: record.run).id]
    return (record for record in frames if stamps[record.id] == latest)


def _from(record: CaptionRecord) -> Stretch:
    _, start = videos.frame_of(record.id)
    return Stretch(start, start, record.caption, record.log_probability)


def _up_to_next(frames: Iterable[Stretch]) -> Iterator[Stretch]:
    """Frames as stretches that last until the next one, or for as long where it has no caption."""
    starts = sorted(frames, key=lambda frame: frame.start)
    gaps = [other.start - one.start for one, other in itertools.pairwise(starts)]
    every = min(gaps, default=EVERY)
    for frame, following in itertools.zip_longest(starts, starts[1:]):
        is_next = following and following.start - frame.start < 1.5 * every
        yield dataclasses.replace(frame, end=following.start if is_next else frame.start + every)
