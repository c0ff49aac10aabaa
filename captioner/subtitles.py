"""A caption output's films, each as a file of subtitles."""

from __future__ import annotations

import hashlib
import itertools
import re
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator

from captioner import captions, shards, storage, videos
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
    """The frames that have a caption, by their film's id."""
    films: dict[str, list[Stretch]] = defaultdict(list)
    replaced: set[str] | None = None
    for record in captions.read(output):
        if frame := videos.frame_of(record.id):
            replaced = _replaced(output) if replaced is None else replaced
            film, start = frame
            if record.id not in replaced:
                films[film].append(Stretch(start, start, record.caption, record.log_probability))
    return films


def _replaced(output: str) -> set[str]:
    """The frames of which only an earlier version of their film is known, by its stamp."""
    films: dict[str, tuple[str, str]] = {}
    frames: dict[str, tuple[str, str]] = {}
    for summary, outcomes in map(shards.read_index, shards.finished(output)):
        for outcome in outcomes:
            frame = videos.frame_of(outcome.id)
            # The stamp of features, which is their hash, tells nothing of the film.
            if frame and outcome.stamp != outcome.content_hash:
                seen = (summary.run, outcome.stamp)
                films[frame[0]] = max(seen, films.get(frame[0], seen))
                frames[outcome.id] = max(seen, frames.get(outcome.id, seen))
    newest = {film: stamp for film, (_, stamp) in films.items()}
    return {id for id, (_, stamp) in frames.items() if stamp != newest[videos.frame_of(id)[0]]}


def _up_to_next(frames: Iterable[Stretch]) -> Iterator[Stretch]:
    """Stretches that end where the next starts, but where one is missing: it was no frame."""
    starts = sorted(frames, key=lambda frame: frame.start)
    gaps = [other.start - one.start for one, other in itertools.pairwise(starts)]
    usual = statistics.median(gaps) if gaps else EVERY
    for frame, gap in itertools.zip_longest(starts, gaps, fillvalue=usual):
        end = frame.start + (gap if gap < 1.5 * usual else usual)
        yield Stretch(frame.start, end, frame.caption, frame.log_probability)
