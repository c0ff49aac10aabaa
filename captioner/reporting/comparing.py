"""One evaluation, or two side by side, as a page of HTML."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from xml.etree.ElementTree import Element

from captioner.evaluation import ALL, Comparison, Evaluation, Scores
from captioner.reporting.elements import document, element, figure, gallery, named, table

SHOWN = 12  # images a section
_SPLITS = {"": "no split", ALL: "all splits"}  # what isn't the name of one


class Compared(NamedTuple):
    """An image that both sides have tried.

    Args:
        id: the image's.
        made: what each side made of it.
        scores: CIDEr-D of each.
    """

    id: str
    made: tuple[Comparison, ...]
    scores: tuple[float, ...]

    def ahead(self) -> float:
        """By how much the first of two sides is ahead; of one, its score."""
        return self.scores[0] - sum(self.scores[1:])


# Title, what is in it, and the images.
Section = tuple[str, str, list[Compared]]


def sections(evaluations: Sequence[Evaluation]) -> list[Section]:
    """The images to show: the best and worst of one side, or where either of two is ahead."""
    sides = [
        {one.id: (one, score) for one, score in zip(side.comparisons, side.cider_d, strict=True)}
        for side in evaluations
    ]
    images = []
    for id in sorted(set.intersection(*map(set, sides))):
        made, scores = zip(*(side[id] for side in sides), strict=True)
        images.append(Compared(id, made, scores))
    images.sort(key=Compared.ahead)
    if len(sides) == 2:
        first = [image for image in reversed(images) if image.ahead() > 0]
        second = [image for image in images if image.ahead() < 0]
        about = "By CIDEr-D."
        return [
            ("Where A is ahead", about, first[:SHOWN]),
            ("Where B is ahead", about, second[:SHOWN]),
        ]
    return [
        ("Best", "By CIDEr-D against their references.", images[: -SHOWN - 1 : -1]),
        ("Worst", "Nothing in them is what people say, or little.", images[:SHOWN]),
    ]


def page(
    evaluations: Sequence[tuple[str, Evaluation]],
    shown: Sequence[Section],
    pictures: dict[str, str],
) -> bytes:
    """The page, UTF-8.

    Args:
        evaluations: see `reporting.compare`.
        shown: the images.
        pictures: `data:` URIs by image id.
    """
    letters = ("A ", "B ") if len(evaluations) == 2 else ("",)
    names = [f"{letter}{output}" for letter, (output, _) in zip(letters, evaluations, strict=True)]
    return document(
        "Scores of " + " and ".join(names),
        element("h1", "Scores of ", named(" and ".join(names))),
        _scores(names, [evaluation.scores for _, evaluation in evaluations]),
        *(
            part
            for title, about, images in shown
            for part in gallery(
                title, about, [_figure(image, letters, pictures) for image in images]
            )
        ),
    )


def _scores(names: Sequence[str], scores: Sequence[Scores]) -> Element:
    figures: dict[str, list[str]] = {
        "images": [f"{one.images:,} of {_SPLITS.get(one.split, one.split)}" for one in scores],
        "without a caption": [f"{one.failed:,}" for one in scores],
        **{f"BLEU-{n + 1}": [f"{one.bleu[n]:.3f}" for one in scores] for n in range(4)},
        "ROUGE-L": [f"{one.rouge_l:.3f}" for one in scores],
        "CIDEr-D": [f"{one.cider_d:.3f}" for one in scores],
        "METEOR": [_if_known(one.meteor, "{:.3f}") for one in scores],
        "different words": [f"{one.vocabulary_used:,}" for one in scores],
        "words a caption": [f"{one.mean_length:.1f}" for one in scores],
        "different captions": [f"{one.distinct:.0%}" for one in scores],
        "copied from training": [_if_known(one.copied, "{:.0%}") for one in scores],
        "wholly right": [_if_known(one.right, "{:.1%}") for one in scores],
    }
    known = {name: cells for name, cells in figures.items() if any(cells)}
    rows = [[name, *cells] for name, cells in known.items()]
    return table(["Score", *(f"#{name}" for name in names)], rows)


def _if_known(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)


def _figure(image: Compared, letters: Sequence[str], pictures: dict[str, str]) -> Element:
    told = [
        element("div", element("b", letter), named(made.caption or "(none)"), f" {score:.2f}")
        for letter, made, score in zip(letters, image.made, image.scores, strict=True)
    ]
    told += [element("small", "– ", named(text)) for text in image.made[0].references]
    told.append(element("small", named(image.id)))
    return figure(pictures.get(image.id), image.made[0].caption or "", *told)
