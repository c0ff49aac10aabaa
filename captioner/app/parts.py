"""What is shown of captions, names and messages: trees of elements, in which no text is markup.

Streamlit's own texts are Markdown, so nothing of a run or of an upload is ever given to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element

import streamlit as st

from captioner.reporting.elements import bar, element, figure, markup, named, note, table

_STYLE = """
<style>
.stMainBlockContainer { max-width: 72rem; padding-top: 4rem; }
@media (min-width: 640px) { .stMainBlockContainer { padding-left: 2rem; padding-right: 2rem; } }
@media (max-width: 640px) { .stHtml .looked img { max-height: 45vh; } }
[data-testid=stFileUploaderDropzoneInstructions] { display: none; } /* the limits are said below */
.stHtml { overflow-wrap: anywhere; }
.stHtml .heading { font-size: 1.9rem; font-weight: 650; line-height: 1.2; margin: 0 0 .25rem; }
.stHtml .section { font-size: 1.05rem; font-weight: 600; margin: 1rem 0 0; }
.stHtml .note, .stHtml small { color: color-mix(in srgb, currentColor 65%, transparent); }
.stHtml .note { margin: 0; font-size: .875rem; }
.stHtml .caption { font-size: 1.75rem; font-weight: 600; line-height: 1.3; margin: 0 0 .5rem; }
.stHtml .problem { border-left: 4px solid #d97706; padding: .5rem .8rem; margin: 0;
  background: color-mix(in srgb, #d97706 10%, transparent); border-radius: .25rem; }
.stHtml .problem b { display: block; }
.stHtml .looked img { display: block; max-width: 100%; max-height: 26rem; border-radius: .5rem; }
.stHtml table { border-collapse: collapse; width: 100%; font-size: .9rem; }
.stHtml td, .stHtml th { text-align: left; padding: .25rem .75rem .25rem 0; border: none; }
.stHtml th { font-weight: 600; border-bottom: 1px solid #8884; }
.stHtml td.number, .stHtml th.number { text-align: right; white-space: nowrap; width: 1%; }
.stHtml td.bar { width: 28%; min-width: 3rem; }
.stHtml td.bar div { background: #4c7dc7; height: .65rem; border-radius: .2rem; }
.stHtml figure { margin: 0; }
.stHtml .words { display: flex; flex-wrap: wrap; gap: .6rem; }
.stHtml .words figure { width: 6.5rem; text-align: center; font-size: .9rem; }
.stHtml .words img { width: 6.5rem; max-height: 9rem; object-fit: contain; display: block;
  border-radius: .3rem; }
.stHtml .card img, .stHtml .card .missing { width: 100%; aspect-ratio: 4 / 3; object-fit: cover;
  border-radius: .4rem; display: grid; place-items: center; background: #8882; font-size: .8rem; }
.stHtml .card figcaption { font-size: .875rem; line-height: 1.35; margin-top: .35rem; }
.stHtml .card bdi, .stHtml .card small { display: -webkit-box; -webkit-box-orient: vertical;
  -webkit-line-clamp: 3; overflow: hidden; }
.stHtml .card small { font-size: .78rem; }
[data-testid=stBaseButton-tertiary] { min-height: 0; padding: 0; color: #4c7dc7; }
[data-testid=stBaseButton-tertiary] p { font-size: .85rem; }
</style>
"""


def style() -> None:
    """How all of it looks."""
    st.html(_STYLE)


def show(*elements: Element, class_: str = "") -> None:
    """Put elements on the page, together."""
    st.html(markup(element("div", *elements, **({"class": class_} if class_ else {}))))


def say(text: str) -> None:
    """A sentence beside the point."""
    show(note(text))


def heading(text: str, about: str) -> None:
    """The page's own."""
    show(element("div", text, class_="heading", role="heading"), note(about))


def section(text: str) -> None:
    """The heading of a part."""
    show(element("div", text, class_="section", role="heading"))


def problem(what: str, why: str) -> None:
    """What went wrong."""
    show(element("p", element("b", what), named(why), class_="problem"))


def looked_at(picture: str | None, alternative: str) -> None:
    """The image that is looked at, a `data:` URI."""
    show(figure(picture, alternative), class_="looked" if picture else "card")


def told(caption: str, *notes: str) -> None:
    """A caption, large, with notes beneath it."""
    text = element("p", named(caption or "(no word)"), class_="caption")
    show(text, *(element("p", named(one), class_="note") for one in notes))


def candidates(found: Sequence[tuple[str, float]]) -> None:
    """A table of captions with their probabilities."""
    most = max((probability for _, probability in found), default=0.0)
    rows = [
        [named(text or "(no word)"), percent(probability), bar(probability, most)]
        for text, probability in found
    ]
    show(table(["Candidates", "#Probability", ""], rows))


def words(pictures: Sequence[str], texts: Sequence[str]) -> None:
    """Small pictures in a row, each with its word beneath."""
    pairs = zip(pictures, texts, strict=False)
    show(*(figure(picture, text, named(text)) for picture, text in pairs), class_="words")


def card(picture: str | None, caption: str, *notes: str) -> None:
    """A picture in a grid, with its caption and what else is to say."""
    small = (element("small", named(one)) for one in notes)
    show(figure(picture, caption, named(caption), *small), class_="card")


def percent(share: float) -> str:
    """A share from 0 to 1, also a small one."""
    if share >= 0.001:
        return f"{share:.1%}"
    return f"{share:.3%}" if share >= 0.000_01 else "< 0.001%"
