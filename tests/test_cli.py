"""The command: what it refuses, in one line and with status 2, before anything is spent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from captioner import captions, cli
from captioner.cli.arguments import verbs_of
from captioner.cli.command import parser
from captioner.errors import ProblemsFound, TooManyFailures, UserError
from tests.outputs import record, write_captions


def _refused(capsys: pytest.CaptureFixture, *arguments: object) -> str:
    """The one line that a refused command says."""
    assert cli.main([str(argument) for argument in arguments]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1
    return said


@pytest.fixture
def images(tmp_path: Path, picture) -> Path:
    for n in range(3):
        picture(tmp_path / f"in/{n}.png")
    return tmp_path / "in"


def test_help_names_the_verbs_and_imports_nothing_heavy() -> None:
    program = (
        "import sys; from captioner import cli\n"
        "try: cli.main(['--help'])\n"
        "finally: assert not {'tensorflow', 'keras', 'apache_beam', 'boto3'} & set(sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    for verb in (
        "scenes",
        "extract",
        "train",
        "caption",
        "evaluate",
        "score",
        "tune",
        "export",
        "verify",
        "compact",
    ):
        assert f"\n    {verb} " in run.stdout
    for status in (0, 2, 3, 4, 130, 141):
        assert f"\n  {status}  " in run.stdout


def test_help_says_a_default_once() -> None:
    for name, verb in verbs_of(parser(["--input"])).items():
        for action in verb._actions:
            said = verb._get_formatter()._expand_help(action) if action.help else ""
            assert said.count("(default: ") <= 1, f"{name} {action.option_strings}"


def test_each_kind_of_mistake_has_its_exit_status(capsys, monkeypatch) -> None:
    for mistake, status in ((UserError, 2), (TooManyFailures, 3), (ProblemsFound, 4)):

        def fail(*_: object, mistake: type[UserError] = mistake) -> None:
            raise RuntimeError("an engine's own") from mistake("what\nhappened")

        monkeypatch.setattr("captioner.corpora.scenes.draw", fail)
        assert cli.main(["scenes", "--output", "x"]) == status
        assert capsys.readouterr().err == "error: what happened\n"


TRACEBACK = """java.lang.RuntimeException: Error received from SDK harness: Traceback (most recent):
  File "committing.py", line 102, in publish
    raise TooManyFailures(
{raised} [while running 'Commit/Publish manifest']

        at org.apache.beam.runners.fnexecution.control.FnApiControlClient.onNext"""


@pytest.mark.parametrize(
    ("raised", "status", "said"),
    [
        ("captioner.errors.TooManyFailures: 2 of 62 failed", 3, "2 of 62 failed"),
        ("captioner.errors.UserError: it's gone", 2, "it's gone"),
        ("OSError: [Errno 28] No space left on device: '/x'", 2, "/x: No space left on device"),
        ("PermissionError: [Errno 13] Permission denied", 2, "output: Permission denied"),
    ],
)
def test_what_an_engine_tells_of_a_worker_s_mistake_is_one_line(
    capsys, monkeypatch, raised: str, status: int, said: str
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError(TRACEBACK.format(raised=raised))

    monkeypatch.setattr("captioner.corpora.scenes.draw", fail)
    assert cli.main(["scenes", "--output", "x"]) == status
    assert capsys.readouterr().err == f"error: {said}\n"


def test_what_an_engine_tells_of_a_fault_of_ours_is_not(monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError(TRACEBACK.format(raised="OSError: [Errno 22] Invalid argument"))

    monkeypatch.setattr("captioner.corpora.scenes.draw", fail)
    with pytest.raises(RuntimeError, match="Invalid argument"):
        cli.main(["scenes", "--output", "x"])


def test_the_formats_to_choose_from_are_those_there_are(capsys) -> None:
    for verb, others in (("caption", ("vtt", "srt")), ("compact", ())):
        with pytest.raises(SystemExit):
            cli.main([verb, "--help"])
        assert "{" + ",".join([*captions.FORMATS, *others]) + "}" in capsys.readouterr().out


def test_a_flag_that_neither_side_knows_is_refused(capsys, images, tmp_path) -> None:
    arguments = ("extract", "--input", images, "--output", tmp_path / "out")
    assert "unknown flag: --colour" in _refused(capsys, *arguments, "--colour=red")
    assert "--inp" in _refused(capsys, "extract", "--inp", images, "--output", tmp_path / "out")
    assert "unknown argument: --colour" in _refused(capsys, "scenes", "--output", "x", "--colour")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("captoin one.jpg", "caption"),
        ("caption one.jpg --modle m", "--model"),  # which is required, and so missing
        ("caption one.jpg --model m --widht=3", "--width"),
        ("extract --input in --output out --encodr vgg16", "--encoder"),
        ("extract --input in --output out --runer Runner", "--runner"),
        ("extract --input in --output out --engine openvno", "openvino"),
    ],
)
def test_of_what_is_mistyped_it_is_guessed_what_was_meant(capsys, words, meant) -> None:
    assert f"; did you mean {meant}? (see " in _refused(capsys, *words.split())


def test_what_is_like_nothing_is_not_guessed(capsys) -> None:
    for words in ("paint", "extract --input output --runner x", "scenes --output x --colour"):
        assert "did you mean" not in _refused(capsys, *words.split())


def test_numbers_that_make_no_sense_are_refused(capsys, images, tmp_path) -> None:
    arguments = ("extract", "--input", images, "--output", tmp_path / "out")
    assert "isn't a number from 0 to 1,000" in _refused(capsys, *arguments, "--grid-size=-3")
    assert "isn't a number from 0" in _refused(capsys, *arguments, "--price-per-hour=nan")
    refused = "argument --shard-size: '0' isn't a whole number from 1 (see "
    assert refused in _refused(capsys, *arguments, "--shard-size", 0)
    assert "isn't a whole number from 1" in _refused(capsys, *arguments, "--image-size=many")
    assert "isn't a number of seconds from 0.01 to 1,000,000" in _refused(
        capsys, *arguments, "--every", 0
    )
    assert "--max-failures" in _refused(capsys, *arguments, "--max-failures=101%")


def test_a_runner_that_beam_does_not_know_is_refused(capsys, images, tmp_path) -> None:
    arguments = ("extract", "--input", images, "--output", tmp_path / "out")
    assert "--runner Foo: Unexpected pipeline runner: Foo" in _refused(
        capsys, *arguments, "--runner", "Foo"
    )
    for name in ("no.such.Runner", "os.path", "../x"):
        assert f"--runner {name}: " in _refused(capsys, *arguments, "--runner", name)


def test_one_image_is_no_input(capsys, images, tmp_path) -> None:
    one = next(path for path in images.iterdir() if path.suffix in (".jpg", ".png"))
    said = _refused(capsys, "extract", "--input", one, "--output", tmp_path / "out")
    assert "one image; caption it without --input" in said


def test_an_input_that_is_not_there_is_refused(capsys, tmp_path) -> None:
    said = _refused(capsys, "extract", "--input", tmp_path / "no", "--output", tmp_path / "out")
    assert "no such file or directory" in said


def test_what_is_captioned_now_goes_into_no_directory(capsys, images) -> None:
    one = next(images.iterdir())
    assert "a directory; say --input" in _refused(capsys, "caption", images, "--model", "model")
    for flags in ("--output=out", "--format=vtt", "--dry-run", "--force", "--max-failures=3"):
        said = _refused(capsys, "caption", one, "--model", "model", flags)
        assert flags.partition("=")[0] in said and "with --input" in said


def test_a_command_that_is_stopped_says_so(images, tmp_path) -> None:
    os.mkfifo(tmp_path / "captions.csv")
    command = [sys.executable, "-m", "captioner", "extract", "--input", str(images)]
    command += ["--captions", str(tmp_path / "captions.csv"), "--output", str(tmp_path / "out")]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        # Where the tests run in the background, they were told to ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    with open(tmp_path / "captions.csv", "w"):  # which waits until the command reads
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
    assert said.splitlines()[-1] == "stopped; the same command goes on from what is done"
    assert "Traceback" not in said
    assert process.returncode == 130


def test_who_reads_no_further_gets_no_traceback() -> None:
    pytest.importorskip("shtab")
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "captioner", "completion", "bash"]
    run = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True)
    assert (run.returncode, run.stderr) == (128 + signal.SIGPIPE, "")


def test_an_empty_directory_is_refused(capsys, tmp_path) -> None:
    (tmp_path / "in").mkdir()
    said = _refused(capsys, "extract", "--input", tmp_path / "in", "--output", tmp_path / "out")
    assert "no files in this directory" in said


def test_an_output_inside_the_input_is_refused(capsys, images) -> None:
    said = _refused(capsys, "extract", "--input", images, "--output", images / "out")
    assert "inside the input" in said


def test_an_output_that_cannot_be_written_is_refused(capsys, images, tmp_path) -> None:
    (tmp_path / "file").touch()
    flags = ("--encoder-weights", "none", "--encoder-layer", "block2_pool", "--image-size", 71)
    arguments = ("extract", "--input", images, "--output", tmp_path / "file" / "out", *flags)
    assert "Not a directory" in _refused(capsys, *arguments)


def test_a_fault_that_only_a_worker_meets_is_said_in_a_line_too(capsys, images, tmp_path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/shards").touch()  # where a directory must be
    flags = ("--encoder-weights", "none", "--encoder-layer", "block2_pool", "--image-size", 71)
    arguments = ("extract", "--input", images, "--output", tmp_path / "out", *flags)
    assert f"{tmp_path}/out/shards: File exists" in _refused(capsys, *arguments)


def test_a_directory_without_images_is_refused_before_the_job(capsys, tmp_path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/note.txt").write_text("no image")
    flags = ("--encoder-weights", "none", "--encoder-layer", "block2_pool", "--image-size", 71)
    arguments = ("extract", "--input", tmp_path / "in", "--output", tmp_path / "out", *flags)
    assert "is an image (1 not_an_image)" in _refused(capsys, *arguments)
    assert not (tmp_path / "out").exists()


def test_a_job_says_why_it_does_again_what_is_there(capsys, images, tmp_path) -> None:
    flags = ("--encoder-weights", "none", "--encoder-layer", "block2_pool", "--image-size")
    arguments = ("extract", "--input", images, "--output", tmp_path / "out", *flags)

    def said(*others: object) -> list[str]:
        assert cli.main([str(argument) for argument in (*arguments, *others)]) == 0
        return capsys.readouterr().out.splitlines()

    assert said(71)[0].startswith("3 images: 3 done now, 0 done before")
    assert said(71)[0].startswith("3 images: 0 done now, 3 done before")
    why = "the 3 features of the latest run here are by another encoder, or by other settings of it"
    told, did, _ = said(73)
    assert told == f"{why}, so they don't count as done"
    assert did.startswith("3 images: 3 done now, 0 done before")
    assert said(75, "--dry-run")[0] == told
    (latest,) = sorted((tmp_path / "out/runs").iterdir())[-1:]
    latest.write_text("{")  # which is no reason not to run
    assert said(73)[0].startswith("3 images: 0 done now, 3 done before")


def test_captions_of_other_images_are_refused(capsys, images, tmp_path) -> None:
    (tmp_path / "captions.csv").write_text("image,caption\nother.png,A dog .\n")
    arguments = ("--output", tmp_path / "out", "--captions", tmp_path / "captions.csv")
    said = _refused(capsys, "extract", "--input", images, *arguments)
    assert "has no caption for any of the 3 images" in said and "0.png" in said


def test_unreachable_weights_and_unknown_encoders_are_refused(capsys, images, tmp_path) -> None:
    arguments = ("extract", "--input", images, "--output", tmp_path / "out")
    said = _refused(capsys, *arguments, "--encoder-weights", tmp_path / "no.h5")
    assert "no such weights file" in said
    said = _refused(capsys, *arguments, "--encoder", "perception", "--encoder-weights", "none")
    assert "no encoder is called 'perception'" in said and "xception" in said


def test_missing_models_features_and_captions_are_refused(capsys, images, tmp_path) -> None:
    model = ("--model", tmp_path / "no")
    assert "captioner train" in _refused(capsys, "caption", images / "0.png", *model)
    job = ("caption", "--input", images, "--output", tmp_path / "out", *model)
    assert "captioner train" in _refused(capsys, *job)
    assert "captioner extract" in _refused(
        capsys, "train", "--features", images, "--output", tmp_path / "model"
    )
    (tmp_path / "captions.csv").write_text("image,caption\n0.png,A dog .\n")
    references = ("--references", tmp_path / "captions.csv", "--split", "train")
    said = _refused(capsys, "evaluate", "--captions", images, *references)
    assert "captioner caption" in said


def test_a_caption_job_needs_an_output_and_a_caption_an_image(capsys, images) -> None:
    assert "--output" in _refused(capsys, "caption", "--input", images, "--model", "m")
    assert "name an image" in _refused(capsys, "caption", "--model", "m")
    assert "no such image" in _refused(capsys, "caption", images / "9.png", "--model", "m")


def test_nothing_that_a_terminal_obeys_is_said(capsys, images, tmp_path) -> None:
    bad, out = "\x1b[2J", tmp_path / "out"
    assert "\\x1b[2J: no such" in _refused(capsys, "similar", "x", "--image", f"{tmp_path}/{bad}")
    write_captions(out, [record(f"{bad}.png", bad)])
    references = tmp_path / "references.csv"
    references.write_text(f"image,caption\n{bad}.png,A dog {bad}.\n0.png,A dog .\n")
    (out / "index" / bad).touch()
    verified = ["verify", str(out)]
    scored = ["evaluate", "--captions", str(out), "--references", str(references)]
    extracted = ["extract", "--input", str(images), "--output", str(tmp_path / "features")]
    extracted += ["--captions", str(references), "--encoder", "none-such"]
    for words, status in ((verified, 4), (scored, 0), (extracted, 2)):
        assert cli.main(words) == status
        said = "".join(capsys.readouterr())
        assert "\\x1b[2J" in said and "\x1b" not in said, words
        assert len(said.splitlines()) > 1, "the lines are lines"
