"""The command as scripts and shells use it: JSON, exit statuses, examples, completion."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from captioner import cli
from captioner.cli import command
from captioner.cli.arguments import verbs_of
from captioner.search import SearchOptions
from captioner.training import TrainingOptions
from tests.outputs import CaptionJob

VERBS = verbs_of(command.parser())


@pytest.fixture
def told(capsys) -> Callable[..., Any]:
    """Runs a command with `--json -`: what it tells, after a look at what it says to people."""

    def run(*arguments: object, status: int = 0) -> Any:
        assert cli.main([*map(str, arguments), "--json", "-"]) == status
        said = capsys.readouterr()
        assert said.err, "people are told as without"
        return json.loads(said.out)

    return run


@pytest.fixture
def output(tmp_path: Path, picture) -> Path:
    """Captions of two images, and one failure."""
    job = CaptionJob(tmp_path)
    for name in ("a.png", "b.png"):
        picture(job.input / name)
    (job.input / "empty.png").touch()
    job.run()
    return job.output


def test_each_verb_tells_scripts_what_came_of_it(output: Path, tmp_path: Path, told) -> None:
    assert told("verify", output)["problems"] == []
    assert told("report", output)["failed"] == {"empty": 1}
    assert told("compact", output, tmp_path / "new")["images"]["done"] == 2
    assert told("write-back", output)["written"] == 2
    (tmp_path / "said.csv").write_text("image,caption\na.png,the colour\nb.png,the colour\n")
    references = ("--references", tmp_path / "said.csv", "--split", "train")
    scores = told("evaluate", "--captions", output, *references)
    assert scores["images"] == 2 and 0 < scores["bleu"][0] <= 1


def test_what_is_wrong_is_told_too(output: Path, told) -> None:
    next((output / "shards").iterdir()).write_bytes(b"")
    found = told("verify", output, status=4)["problems"]
    assert [problem["kind"] for problem in found] == ["truncated"]


def test_a_job_tells_its_manifest_even_of_too_many_failures(tmp_path, picture, told) -> None:
    picture(tmp_path / "in/a.png")
    (tmp_path / "in/empty.png").touch()
    encoder = ("--encoder-weights", "none", "--encoder-layer", "block2_pool", "--image-size", 71)
    job = ("extract", "--input", tmp_path / "in", "--output", tmp_path / "out", *encoder)
    manifest = told(*job, "--max-failures", "0", status=3)
    assert manifest["images"]["failed"] == {"empty": 1} and manifest["too_many_failures"]
    assert "json" not in manifest["asked"]
    assert told(*job)["images"]["skipped"] == 1
    assert told(*job, "--dry-run")["to_do"] == 0


def test_json_goes_to_a_file_too(output: Path, tmp_path: Path, capsys) -> None:
    assert cli.main(["verify", str(output), "--json", str(tmp_path / "found.json")]) == 0
    assert json.loads((tmp_path / "found.json").read_text())["done"] == 2
    assert "all is well" in capsys.readouterr().out


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_s_help_has_an_example_that_it_takes(verb: str) -> None:
    _, _, example = VERBS[verb].format_help().partition("example:\n")
    commands = [line.split(" > ")[0] for line in example.splitlines() if line.startswith("  ")]
    assert commands
    for one in commands:
        program, *words = shlex.split(one)
        assert program == "captioner" and words[0] == verb
        parsed, others = command.parser(words).parse_known_args(words)
        assert parsed.verb == verb and not others


@pytest.mark.parametrize(
    ("verb", "options"), [("train", TrainingOptions), ("caption", SearchOptions)]
)
def test_help_says_the_defaults_that_options_have(verb: str, options: type) -> None:
    """Help can't import them: they are TensorFlow's neighbours."""
    fields = {field.name: field.default for field in dataclasses.fields(options)}
    for action in VERBS[verb]._actions:
        said = re.search(r"\(default: (.+)\)", action.help or "")
        if said and action.dest in fields:
            assert str(fields[action.dest]) == said[1], action.dest
        elif action.dest in fields and action.nargs != 0:
            assert not fields[action.dest], action.dest


def completed(script: Path, *words: str) -> set[str]:
    """What bash offers for the last word."""
    program = (
        f"source {script}; COMP_WORDS=({shlex.join(words)}); COMP_CWORD={len(words) - 1}; "
        '_shtab_captioner; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    run = subprocess.run(["bash", "-c", program], capture_output=True, text=True, cwd=script.parent)
    return set(run.stdout.split())


def test_bash_completes_verbs_flags_values_and_paths(tmp_path: Path) -> None:
    pytest.importorskip("shtab")
    made = [sys.executable, "-m", "captioner", "completion", "bash"]
    script = tmp_path / "captioner.bash"
    script.write_text(subprocess.run(made, capture_output=True, text=True, check=True).stdout)
    (tmp_path / "captions").mkdir()
    assert completed(script, "captioner", "") >= set(VERBS)
    assert completed(script, "captioner", "train", "--self") == {"--self-critical"}
    assert completed(script, "captioner", "write-back", "--into", "") == {"text", "image"}
    assert completed(script, "captioner", "verify", "capt") >= {"captions"}
    assert completed(script, "captioner", "caption", "--output", "capt") >= {"captions"}


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_can_read_their_scripts(tmp_path: Path, shell: str, capsys) -> None:
    pytest.importorskip("shtab")
    assert cli.main(["completion", shell]) == 0
    (tmp_path / "script").write_text(capsys.readouterr().out)
    if not shutil.which(shell):
        pytest.skip(f"needs {shell}")
    subprocess.run([shell, "-n", str(tmp_path / "script")], check=True)
