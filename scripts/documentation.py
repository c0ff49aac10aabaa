"""What mkdocs.yml hooks into the site: pages made while it is built, and a whole navigation.

The README is the first page, and what it says of scores is one of its own. The reference is made
from the parsers, so that it has every flag there is.
"""

from __future__ import annotations

import argparse
import html
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from captioner.cli import command  # noqa: E402
from captioner.cli.arguments import verbs_of  # noqa: E402
from pipelines import spark  # noqa: E402
from pipelines.dataflow import settings  # noqa: E402

# At the top of the checkout, with links from there.
_TOP = ("ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md")
_SCORES = "## What to expect\n"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Take pages that the navigation doesn't name in behind the guides."""
    named = set(_names(config.nav))
    others = sorted(path.name for path in Path(config.docs_dir).glob("*.md"))
    guides = next(section["Guides"] for section in config.nav if "Guides" in section)
    guides.extend(name for name in others if name not in named)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made."""
    readme = (ROOT / "README.md").read_text()
    pages = {name: (ROOT / name).read_text() for name in _TOP}
    pages |= {"index.md": readme, "scores.md": scores(readme), "reference.md": reference()}
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Have links mean the same from the site, where all pages are in one directory."""
    return (
        markdown.replace("](docs/", "](")
        .replace("](../", "](")
        .replace("](README.md", "](index.md")
    )


def scores(readme: str) -> str:
    """What the README says of scores, as a page."""
    _, _, rest = readme.partition(_SCORES)
    if not rest:
        raise ValueError(f"README.md has no heading {_SCORES.strip()!r}, which a page is made of")
    return "# Scores\n" + rest.partition("\n## ")[0]


def reference() -> str:
    """Every command with every flag."""
    parser = command.parser()
    lines = ["# Every flag", "", parser.description or "", "", *_block(parser.epilog)]
    for name, verb in verbs_of(parser).items():
        lines += _command(f"captioner {name}", verb)
    lines += _command("run_spark.sh", spark.parser())
    lines += _command("run_dataflow.sh", settings.parser())
    return "\n".join(lines)


def _names(nav: list[Any]) -> Iterator[str]:
    for entry in nav:
        if isinstance(entry, str):
            yield entry
        else:
            for below in entry.values():
                yield from _names(below if isinstance(below, list) else [below])


def _command(name: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    yield from ("", f"## {name}", "", parser.description or "", "", *_block(parser.epilog))
    for group in parser._action_groups:
        rows = [row for action in group._group_actions if (row := _row(parser, action))]
        if rows:
            yield from ("", f"| {group.title} | |", "| --- | --- |", *rows)


def _row(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    if action.help == argparse.SUPPRESS or isinstance(action, argparse._HelpAction):
        return ""
    formatter = parser._get_formatter()
    named = formatter._format_action_invocation(action)
    text = formatter._expand_help(action) if action.help else ""
    text = text.replace(str(Path(sys.executable).parent), ".venv/bin")  # not this machine's
    named, text = (html.escape(cell).replace("|", "&#124;") for cell in (named, text))
    return f"| <code>{named}</code> | {text} |"


def _block(text: str | None) -> list[str]:
    """A text as it is shown on a terminal."""
    return ["```text", *text.rstrip().splitlines(), "```"] if text else []
