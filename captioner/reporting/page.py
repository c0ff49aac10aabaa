"""A survey as a page of HTML."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from captioner.captions import CaptionRecord
from captioner.reporting.elements import (
    bar,
    bars,
    document,
    element,
    figure,
    gallery,
    named,
    note,
    table,
)
from captioner.reporting.survey import FREQUENT, Survey, confidence

_RUNS = 30  # shown, the latest


def page(survey: Survey, pictures: dict[str, str]) -> bytes:
    """The page, UTF-8.

    Args:
        survey: what it tells.
        pictures: `data:` URIs by image id; of images that have none there is a note.
    """
    drawn = f"{len(survey.sample)} of {len(survey.texts):,} different captions, drawn by a hash."
    by_word = "By the geometric mean of the probabilities of a caption's words and its end."
    return document(
        f"Captions in {survey.output}",
        element("h1", "Captions in ", named(survey.output)),
        *_summary(survey),
        *_runs(survey.runs),
        *_failures(survey),
        *_frequent(survey),
        *gallery("Gallery", drawn, _figures(survey.sample, pictures)),
        *gallery("Least sure", by_word, _figures(survey.least_sure, pictures)),
        *_distributions(survey),
    )


def _summary(survey: Survey) -> list[Element]:
    failed = survey.failed.total()
    figures = {
        "images with a caption": f"{survey.captions:,}",
        "without one": f"{failed:,}",
        "different captions": f"{len(survey.texts) / max(survey.captions, 1):.0%}",
        "different words": f"{len(survey.words):,}",
        "words a caption": f"{survey.mean_length:.1f}",
    }
    parts = [element("div", element("b", text), name) for name, text in figures.items()]
    return [element("div", *parts, class_="figures")]


def _runs(runs: Sequence[dict[str, Any]]) -> list[Element]:
    if not runs:
        return []
    fastest = max(run["images_per_second"] for run in runs)
    rows = [_run(run, fastest) for run in reversed(runs[-_RUNS:])]
    heading = ["Begun", "#Done", "#Failed", "#Done before", "#Images a second", ""]
    latest = [note(f"The latest {_RUNS} of {len(runs)}.")] if len(runs) > _RUNS else []
    return [element("h2", "Runs"), *latest, table(heading, rows)]


def _run(run: dict[str, Any], fastest: float) -> list[Element | str]:
    images, date = run["images"], run["run"]
    begun = f"{date[:4]}-{date[4:6]}-{date[6:8]} {date[9:11]}:{date[11:13]} UTC"
    numbers = (images["done"], sum(images["failed"].values()), images["skipped"])
    rate = run["images_per_second"]
    return [begun, *map("{:,}".format, numbers), f"{rate:.1f}", bar(rate, fastest)]


def _failures(survey: Survey) -> list[Element]:
    if not survey.failed:
        return []
    parts = [element("h2", "Images without a caption")]
    for reason, count in survey.failed.most_common():
        examples = [[named(one.id), named(one.message)] for one in survey.examples[reason]]
        parts += [
            element("h3", f"{reason}: {count:,}"),
            table(["For example", "Why"], examples),
        ]
    return parts


def _distributions(survey: Survey) -> list[Element]:
    if not survey.captions:
        return []
    words = survey.words.most_common(FREQUENT)
    lengths = [(str(length), count) for length, count in sorted(survey.lengths.items())]
    return [
        element("h2", "Length in words"),
        bars("Words", "Captions", lengths[:100]),
        element("h2", "Most frequent words"),
        bars("Word", "Times", words),
    ]


def _frequent(survey: Survey) -> list[Element]:
    if not survey.captions:
        return []
    rows = [
        [named(text), f"{count:,}", f"{count / survey.captions:.1%}"]
        for text, count in survey.texts.most_common(FREQUENT)
    ]
    return [
        element("h2", "Most frequent captions"),
        note("A model that says the same of everything shows here."),
        table(["Caption", "#Images", "#Of all"], rows),
    ]


def _figures(records: Iterable[CaptionRecord], pictures: dict[str, str]) -> list[Element]:
    return [_figure(record, pictures.get(record.id)) for record in records]


def _figure(record: CaptionRecord, picture: str | None) -> Element:
    sure = f"confidence {confidence(record):.0%} per word"
    told = [named(record.caption), element("small", named(record.id)), element("small", sure)]
    return figure(picture, record.caption, *told)
