"""A survey as a page of HTML."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from captioner.captions import CaptionRecord
from captioner.reporting.survey import FREQUENT, Survey

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_RUNS = 30  # shown, the latest
_STYLE = """
:root { color-scheme: light dark; --line: #8884; --bar: #4c7dc7; --soft: #8889; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.4rem; margin: .5rem 0; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .5rem; border-bottom: 1px solid var(--line); }
p, td, th, figcaption { overflow-wrap: anywhere; }
.note, figcaption small { color: color-mix(in srgb, currentColor 65%, transparent); }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .75rem; }
.figures div { border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .8rem; }
.figures b { display: block; font-size: 1.5rem; line-height: 1.3; }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; vertical-align: top; padding: .25rem .6rem .25rem 0; }
th { font-weight: 600; border-bottom: 1px solid var(--line); }
td.text, th.text { min-width: 7rem; }
td.number, th.number { text-align: right; white-space: nowrap; width: 1%; }
td.bar { width: 45%; }
td.bar div { background: var(--bar); height: .8rem; margin-top: .35rem; border-radius: .2rem; }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); gap: 1rem; }
figure { margin: 0; }
figure img, figure .missing { width: 100%; height: 9rem; object-fit: contain; background: #8882;
  border-radius: .4rem; display: grid; place-items: center; }
figcaption small { display: block; }
.wide { overflow-x: auto; }
"""


def page(survey: Survey, pictures: dict[str, str]) -> bytes:
    """The page, UTF-8.

    Args:
        survey: what it tells.
        pictures: `data:` URIs by image id; of images that have none there is a note.
    """
    drawn = f"{len(survey.sample)} of {len(survey.texts):,} different captions, drawn by a hash."
    by_word = "By the mean log-probability of a word."
    body = _element(
        "body",
        _element("h1", "Captions in ", _name(survey.output)),
        *_summary(survey),
        *_runs(survey.runs),
        *_failures(survey),
        *_frequent(survey),
        *_gallery("Gallery", drawn, survey.sample, pictures),
        *_gallery("Least sure", by_word, survey.least_sure, pictures),
        *_distributions(survey),
    )
    head = _element(
        "head",
        _element("meta", charset="utf-8"),
        _element("meta", {"http-equiv": "Content-Security-Policy", "content": _POLICY}),
        _element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        _element("title", f"Captions in {survey.output}"),
        _element("style", _STYLE),
    )
    whole = ElementTree.tostring(_element("html", head, body, lang="en"), "unicode", "html")
    # A name may hold what no encoding has.
    return ("<!DOCTYPE html>\n" + whole + "\n").encode(errors="backslashreplace")


def _element(tag: str, *children: Element | str | dict[str, str], **attributes: str) -> Element:
    """An element; texts in it are texts, whatever they hold. A dictionary is more attributes."""
    made = Element(tag, {name.rstrip("_"): value for name, value in attributes.items()})
    last: Element | None = None
    for child in children:
        if isinstance(child, dict):
            made.attrib.update(child)
        elif isinstance(child, str) and last is None:
            made.text = (made.text or "") + child
        elif isinstance(child, str):
            last.tail = (last.tail or "") + child
        else:
            made.append(child)
            last = child
    return made


def _name(text: str) -> Element:
    """A name or a caption: which way it is written says nothing of what is around it."""
    return _element("bdi", text)


def _summary(survey: Survey) -> list[Element]:
    failed = survey.failed.total()
    figures = {
        "images with a caption": f"{survey.captions:,}",
        "without one": f"{failed:,}",
        "different captions": f"{len(survey.texts) / max(survey.captions, 1):.0%}",
        "different words": f"{len(survey.words):,}",
        "words a caption": f"{survey.mean_length:.1f}",
    }
    parts = [_element("div", _element("b", text), name) for name, text in figures.items()]
    return [_element("div", *parts, class_="figures")]


def _runs(runs: Sequence[dict[str, Any]]) -> list[Element]:
    if not runs:
        return []
    fastest = max(run["images_per_second"] for run in runs)
    rows = [_run(run, fastest) for run in reversed(runs[-_RUNS:])]
    heading = ["Begun", "#Done", "#Failed", "#Done before", "#Images a second", ""]
    note = [_note(f"The latest {_RUNS} of {len(runs)}.")] if len(runs) > _RUNS else []
    return [_element("h2", "Runs"), *note, _table(heading, rows)]


def _run(run: dict[str, Any], fastest: float) -> list[Element | str]:
    images, date = run["images"], run["run"]
    begun = f"{date[:4]}-{date[4:6]}-{date[6:8]} {date[9:11]}:{date[11:13]} UTC"
    numbers = (images["done"], sum(images["failed"].values()), images["skipped"])
    rate = run["images_per_second"]
    return [begun, *map("{:,}".format, numbers), f"{rate:.1f}", _bar(rate, fastest)]


def _failures(survey: Survey) -> list[Element]:
    if not survey.failed:
        return []
    parts = [_element("h2", "Images without a caption")]
    for reason, count in survey.failed.most_common():
        examples = [[_name(one.id), _name(one.message)] for one in survey.examples[reason]]
        parts += [
            _element("h3", f"{reason}: {count:,}"),
            _table(["For example", "Why"], examples),
        ]
    return parts


def _distributions(survey: Survey) -> list[Element]:
    if not survey.captions:
        return []
    words = survey.words.most_common(FREQUENT)
    lengths = [(str(length), count) for length, count in sorted(survey.lengths.items())]
    return [
        _element("h2", "Length in words"),
        _bars("Words", "Captions", lengths[:100]),
        _element("h2", "Most frequent words"),
        _bars("Word", "Times", words),
    ]


def _frequent(survey: Survey) -> list[Element]:
    if not survey.captions:
        return []
    rows = [
        [_name(text), f"{count:,}", f"{count / survey.captions:.1%}"]
        for text, count in survey.texts.most_common(FREQUENT)
    ]
    return [
        _element("h2", "Most frequent captions"),
        _note("A model that says the same of everything shows here."),
        _table(["Caption", "#Images", "#Of all"], rows),
    ]


def _gallery(
    title: str, note: str, records: Sequence[CaptionRecord], pictures: dict[str, str]
) -> list[Element]:
    if not records:
        return []
    figures = [_figure(record, pictures.get(record.id)) for record in records]
    return [_element("h2", title), _note(note), _element("div", *figures, class_="gallery")]


def _figure(record: CaptionRecord, picture: str | None) -> Element:
    shown = (
        _element("img", src=picture, alt=record.caption, loading="lazy")
        if picture
        else _element("div", "no picture", class_="missing")
    )
    sure = f"probability {math.exp(min(record.log_probability, 0.0)):.2g}"
    told = [_name(record.caption), _element("small", _name(record.id)), _element("small", sure)]
    return _element("figure", shown, _element("figcaption", *told))


def _bars(what: str, of: str, counts: Sequence[tuple[str, int]]) -> Element:
    most = max((count for _, count in counts), default=0)
    rows = [[_name(name), f"{count:,}", _bar(count, most)] for name, count in counts]
    return _table([what, f"#{of}", ""], rows)


def _bar(value: float, most: float) -> Element:
    return _element("div", style=f"width:{100 * value / (most or 1):.1f}%")


def _table(heading: Sequence[str], rows: Iterable[Sequence[Element | str]]) -> Element:
    """A table; columns whose heading begins with # are of numbers, those without one of bars."""
    kinds = ["bar" if not name else "number" if name[0] == "#" else "text" for name in heading]
    names = [name.removeprefix("#") for name in heading]
    lines = [("th", names), *(("td", row) for row in rows)]
    made = [
        _element(
            "tr",
            *(_element(tag, cell, class_=kind) for cell, kind in zip(line, kinds, strict=True)),
        )
        for tag, line in lines
    ]
    return _element("div", _element("table", *made), class_="wide")


def _note(text: str) -> Element:
    return _element("p", text, class_="note")
