"""Pages as a browser reads them, and texts that must not be markup in them."""

from __future__ import annotations

from html.parser import HTMLParser

# What a page can hold that does nothing.
TAGS = {
    *("html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "p", "div", "b", "bdi"),
    *("table", "tr", "th", "td", "figure", "img", "figcaption", "small"),
}
ATTRIBUTES = {"lang", "charset", "http-equiv", "content", "name", "class", "style", "src", "alt"}
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</bdi></style><style>*{display:none}</style>",
    "&lt;b&gt; & &#0; \u202e\u0000 ]]> <!-- {{7*7}} ${7}",
)
# What Streamlit's own texts would make something of.
MARKED = (
    *HOSTILE,
    "<img src=x onerror=window.hacked=1>",
    "[click](javascript:window.hacked=1) **bold** :red[red] $\\LaTeX$ :material/home: `code`",
    "![](https://example.org/spy.png) line\nbreak\r\n# heading",
    "\u202eright to left שלום \ud800",
)


class Page(HTMLParser):
    """A page as a browser reads it.

    Attributes:
        tags, attributes: the names of those there are.
        texts: what is in elements of the name that they are under.
        sources: of the pictures.
        alternatives: what is said of the pictures.
    """

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.texts: dict[str, list[str]] = {}
        self.sources: list[str] = []
        self.alternatives: list[str] = []
        self._open: list[str] = []
        self.feed(content.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag == "img":
            self.sources.append(dict(attrs)["src"] or "")
            self.alternatives.append(dict(attrs)["alt"] or "")
        elif tag != "meta":
            self._open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open:
            self.texts[self._open[-1]][-1] += data

    @property
    def shown(self) -> str:
        """All texts in a row."""
        return " ".join(text for texts in self.texts.values() for text in texts)
