"""The parts of a page of HTML, as a tree of elements: whatever a text holds, it stays a text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
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


def document(title: str, *body: Element) -> bytes:
    """A whole page of HTML, UTF-8, that asks for nothing and runs nothing."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", {"http-equiv": "Content-Security-Policy", "content": _POLICY}),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", _STYLE),
    )
    whole = element("html", head, element("body", *body), lang="en")
    return f"<!DOCTYPE html>\n{markup(whole)}\n".encode()


def markup(made: Element) -> str:
    """An element as HTML. A name may hold what no encoding has: that is written as digits."""
    text = ElementTree.tostring(made, "unicode", "html")
    return text.encode(errors="backslashreplace").decode()


def element(tag: str, *children: Element | str | dict[str, str], **attributes: str) -> Element:
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


def named(text: str) -> Element:
    """A name or a caption: which way it is written says nothing of what is around it."""
    return element("bdi", text)


def note(text: str) -> Element:
    """A paragraph beside the point."""
    return element("p", text, class_="note")


def table(heading: Sequence[str], rows: Iterable[Sequence[Element | str]]) -> Element:
    """A table; columns whose heading begins with # are of numbers, those without one of bars."""
    kinds = ["bar" if not name else "number" if name[0] == "#" else "text" for name in heading]
    names = [name.removeprefix("#") for name in heading]
    lines = [("th", names), *(("td", row) for row in rows)]
    made = [
        element(
            "tr",
            *(element(tag, cell, class_=kind) for cell, kind in zip(line, kinds, strict=True)),
        )
        for tag, line in lines
    ]
    return element("div", element("table", *made), class_="wide")


def bars(what: str, of: str, counts: Sequence[tuple[str, int]]) -> Element:
    """A table of counts, with a bar for each; `what` is counted `of`."""
    most = max((count for _, count in counts), default=0)
    rows = [[named(name), f"{count:,}", bar(count, most)] for name, count in counts]
    return table([what, f"#{of}", ""], rows)


def bar(value: float, most: float) -> Element:
    """A bar for a value, as wide as it can be for the most."""
    return element("div", style=f"width:{100 * value / (most or 1):.1f}%")


def figure(picture: str | None, alternative: str, *told: Element) -> Element:
    """A picture with what is said of it.

    Args:
        picture: a `data:` URI; where there is none it is said.
        alternative: for who can't see the picture.
    """
    shown = (
        element("img", src=picture, alt=alternative, loading="lazy")
        if picture
        else element("div", "no picture", class_="missing")
    )
    return element("figure", shown, element("figcaption", *told))


def gallery(title: str, about: str, figures: Sequence[Element]) -> list[Element]:
    """A section of figures; nothing where there is none."""
    if not figures:
        return []
    return [element("h2", title), note(about), element("div", *figures, class_="gallery")]
