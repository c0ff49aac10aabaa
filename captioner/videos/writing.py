"""A film's captions as text: WebVTT, SRT, JSONL, or lines for people.

WebVTT as https://www.w3.org/TR/webvtt1/ has it. SRT has no specification: it is numbered cues with
a comma in the times, and no way to escape anything.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator

from captioner.videos.places import id_of
from captioner.videos.stretches import Stretch

FORMAT = 1  # of the lines of JSON


def vtt(stretches: Iterable[Stretch]) -> Iterator[str]:
    """A WebVTT file, in parts."""
    yield "WEBVTT\n"
    for one in stretches:
        yield f"\n{_time(one.start)} --> {_time(one.end)}\n{_escaped(_on_one_line(one.caption))}\n"


def srt(stretches: Iterable[Stretch]) -> Iterator[str]:
    """An SRT file, in parts."""
    for number, one in enumerate(stretches, 1):
        start, end = (_time(seconds).replace(".", ",") for seconds in (one.start, one.end))
        yield f"{number}\n{start} --> {end}\n{_on_one_line(one.caption)}\n\n"


def jsonl(stretches: Iterable[Stretch], film: str) -> Iterator[str]:
    """A line of JSON for each stretch of the film with the id `film`."""
    for one in stretches:
        values = {
            "schema": FORMAT,
            "id": id_of(film, one.start),
            "start": round(one.start, 3),
            "end": round(one.end, 3),
            "caption": one.caption,
            "log_probability": one.log_probability,
        }
        yield json.dumps(values, ensure_ascii=False) + "\n"


def lines(stretches: Iterable[Stretch]) -> Iterator[str]:
    """A line for each stretch, for people."""
    for one in stretches:
        yield f"{_time(one.start)}  {_on_one_line(one.caption)}\n"


# By the endings of the files' names.
SUBTITLES: dict[str, Callable[[Iterable[Stretch]], Iterator[str]]] = {"vtt": vtt, "srt": srt}


def _time(seconds: float) -> str:
    """As ``hh:mm:ss.mmm``."""
    thousandths = round(seconds * 1000)
    minutes, thousandths = divmod(thousandths, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{thousandths / 1000:06.3f}"


def _on_one_line(caption: str) -> str:
    """A caption without line ends, since an empty line ends a cue; a dash if nothing is left."""
    return " ".join(caption.split()) or "-"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
