"""What the docs say is so: commands parse, the tutorial runs, links lead somewhere."""

from __future__ import annotations

import argparse
import itertools
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from captioner.cli import command
from captioner.cli.arguments import verbs_of
from pipelines import options, spark
from pipelines.dataflow import settings

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "CONTRIBUTING.md"]
SHELLS = {"", "bash", "sh", "shell"}
# What ends a command, and what a shell has before one.
ENDS = {"|", "||", "&", "&&", ";", ">", ">>", "2>", "<"}
ASSIGNMENT = re.compile(r"[A-Z_]+=\S*")
# What isn't on the machine that runs the tests.
ELSEWHERE = ("source ", "sudo ", "./run_spark.sh ")


class Command(NamedTuple):
    """A command of a page, as words.

    Args:
        place: page and line, for people.
        words: from the program on.
    """

    place: str
    words: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        """Whether no "…" stands for more words; it may stand for a value."""
        pairs = itertools.pairwise(self.words)
        return not any(word == "…" and not last.startswith("--") for last, word in pairs)


def blocks(text: str) -> Iterator[tuple[int, str]]:
    """The code blocks for a shell, fenced or indented: the first line's number, and the lines."""
    held: list[str] = []
    fence, started, before = None, 0, ""
    for number, line in enumerate([*text.splitlines(), ""], 1):
        opened = re.match(r"(```+)\s*(\w*)", line)
        if fence is None and opened:
            fence, started, held = opened[2], number + 1, []
        elif fence is not None and opened:
            if fence in SHELLS:
                yield started, "\n".join(held)
            fence, held = None, []
        elif fence is not None:
            held.append(line)
        elif line.startswith("    ") and (held or not before.strip()):
            started = started if held else number
            held.append(line[4:])
        elif held:
            yield started, "\n".join(held)
            held = []
        before = line


def lines(page: Path) -> Iterator[tuple[int, str]]:
    """The lines of a page's blocks, put together where they go on."""
    for first, block in blocks(page.read_text()):
        held, start = "", 0
        for number, line in enumerate(block.splitlines(), first):
            start = start if held else number
            held += line.removesuffix("\\")
            if not line.endswith("\\"):
                yield start, held.strip()
                held = ""


def commands(page: Path, *programs: str) -> Iterator[Command]:
    """The commands of a page that call one of some programs."""
    for number, line in lines(page):
        if " = " in line:  # Python's
            continue
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
        lexer.commenters, lexer.whitespace_split = "#", True
        try:
            words = list(lexer)
        except ValueError:  # no line for a shell
            continue
        while words and ASSIGNMENT.fullmatch(words[0]):
            words.pop(0)
        ending = next((place for place, word in enumerate(words) if word in ENDS), len(words))
        called = " ".join(words[:3])
        if called.startswith(programs):
            found = Command(f"{page.name}:{number}", tuple(words[:ending]))
            if found.is_whole:
                yield found


def all_commands(*programs: str) -> list[Command]:
    """Those of all pages."""
    return [found for page in PAGES for found in commands(page, *programs)]


def in_prose() -> list[tuple[str, str]]:
    """What stands in lines of text as `captioner …`: the page, and what is behind the name."""
    code = re.compile(r"`captioner ([a-z-]+[^`\n]*)`")
    return [(page.name, found) for page in PAGES for found in code.findall(page.read_text())]


def by_place(command: Command) -> str:
    return command.place


def check(words: list[str]) -> None:
    """See that the command takes these arguments."""
    parsed, others = command.parser(words).parse_known_args(words)
    assert parsed.takes_beam_flags or not others, others
    options.parse(others)


OURS = all_commands("captioner ")
SPARK = all_commands("./run_spark.sh ")
DATAFLOW = all_commands("./run_dataflow.sh ")
BENCHMARKS = all_commands("python -m benchmarks")


def test_the_docs_have_commands() -> None:
    assert len(OURS) > 30 and SPARK and DATAFLOW and BENCHMARKS
    said = {found.words[1] for found in OURS} | {code.split()[0] for _, code in in_prose()}
    assert said >= set(verbs_of(command.parser())), "each verb is shown once"


@pytest.mark.parametrize("found", OURS, ids=by_place)
def test_the_command_takes_what_the_docs_say(found: Command) -> None:
    check(list(found.words[1:]))


@pytest.mark.parametrize("found", SPARK, ids=by_place)
def test_run_spark_takes_what_the_docs_say(found: Command) -> None:
    parsed, rest = spark.parser().parse_known_args(found.words[1:])
    check([parsed.verb, *rest])


@pytest.mark.parametrize("found", DATAFLOW, ids=by_place)
def test_run_dataflow_takes_what_the_docs_say(found: Command) -> None:
    if found.words[1:] == ("--help",):
        return
    parsed, rest = settings.parse(found.words[1:])
    check(settings.command(parsed, rest))


@pytest.mark.parametrize("found", BENCHMARKS, ids=by_place)
def test_benchmarks_take_what_the_docs_say(found: Command, monkeypatch) -> None:
    class Parsed(Exception):
        pass

    parse = argparse.ArgumentParser.parse_args

    def stop(parser: argparse.ArgumentParser, arguments: list[str] | None = None) -> None:
        parse(parser, arguments)
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    monkeypatch.setattr(sys, "argv", [found.words[2], *found.words[3:]])
    with pytest.raises(Parsed):
        runpy.run_module(found.words[2], run_name="__main__", alter_sys=False)


def test_the_flags_that_prose_names_are_known() -> None:
    """In `code` that begins with the command's name, which may be no whole command."""
    verbs, wrong = verbs_of(command.parser()), []
    for page, code in in_prose():
        names, *words = code.split()
        flags = {word.split("=")[0] for word in words if word.startswith("--")}
        for name in names.split("|"):
            known = verbs[name]._option_string_actions if name in verbs else {}
            wrong += [(page, name, flag) for flag in flags - known.keys()]
            wrong += [] if name in verbs else [(page, name)]
    assert not wrong


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as strictly as it can be."""
    pytest.importorskip("material")
    directory = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(directory)]
    run = subprocess.run(build, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return directory


def test_the_site_has_every_page_and_links_that_lead_somewhere(site: Path) -> None:
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")}
    pages |= {"reference", "scores", "ARCHITECTURE", "CONTRIBUTING", "CHANGELOG"}
    first = (site / "index.html").read_text()
    assert not [page for page in pages if not (site / page / "index.html").exists()]
    assert not [page for page in pages if f'href="{page}/" class="md-nav__link"' not in first]


def test_the_site_asks_for_nothing_from_elsewhere(site: Path) -> None:
    asked = re.compile(r"<(?:script|img|iframe|link)[^>]*(?:src|href)=[\"']?(?:https?:)?//")
    pages = list(site.rglob("*.html"))
    assert pages and not [page for page in pages if asked.search(page.read_text())]


def test_the_reference_has_every_flag(site: Path) -> None:
    shown = (site / "reference/index.html").read_text()
    parsers = {**verbs_of(command.parser()), "run_spark.sh": spark.parser()}
    parsers["run_dataflow.sh"] = settings.parser()
    for name, parser in parsers.items():
        assert f"{name}</code>" in shown or f"{name}<" in shown
        for action in parser._actions:
            for flag in action.option_strings:
                assert flag in ("-h", "--help") or f"<code>{flag}" in shown, f"{name} {flag}"


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_the_tutorial_runs_from_top_to_bottom(tmp_path: Path) -> None:
    script = tmp_path / "bin/captioner"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m captioner "$@"\n')
    script.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{script.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    directory = tmp_path / "tutorial"
    directory.mkdir()
    said = {}
    for _, line in lines(ROOT / "docs/tutorial.md"):
        if not line.startswith(ELSEWHERE):
            run = subprocess.run(
                ["bash", "-c", line], cwd=directory, env=environment, capture_output=True, text=True
            )
            assert run.returncode == 0, f"{line}\n{run.stdout}\n{run.stderr}"
            said[line] = run.stdout
    jobs = [output for line, output in said.items() if line.endswith(("captions/", "5%"))]
    assert any("100 images: 100 done now, 0 done before, 0 failed now" in one for one in jobs)
    assert any("201 images: 100 done now, 100 done before, 1 failed now" in one for one in jobs)
    assert len(list((directory / "photos").glob("*.txt"))) == 200
    (directory / "said.txt").write_text("\n".join(f"$ {line}\n{out}" for line, out in said.items()))
