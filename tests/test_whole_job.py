"""The whole job, from pictures to scores, through the command; the demo itself with --slow."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from importlib import resources
from pathlib import Path

import jsonschema
import pytest

from captioner import captions, cli
from captioner.model import Captioner
from captioner.records import FeatureDataset
from captioner.search import SearchOptions

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("CAPTIONER_DATA", ROOT.parent / "shared" / "data"))
SCHEMA = json.loads(resources.files("captioner").joinpath("captions.schema.json").read_text())

needs_photos = pytest.mark.skipif(
    not (DATA / "flickr8k").is_dir(), reason=f"no photos in {DATA}; see CONTRIBUTING.md"
)


def run(*arguments: object) -> None:
    """Run the command, which must succeed."""
    assert cli.main([str(argument) for argument in arguments]) == 0


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scenes, with two files that are no images among them, and their features."""
    root = tmp_path_factory.mktemp("job")
    run("scenes", "--output", root / "scenes", "--count", 60)
    (root / "scenes/Flicker8k_Dataset/empty.jpg").touch()
    (root / "scenes/Flicker8k_Dataset/note.txt").write_text("no image")
    extract(root)
    return root


def extract(root: Path) -> None:
    scenes = root / "scenes"
    run(
        *("extract", "--input", scenes / "Flicker8k_Dataset", "--output", root / "features"),
        *("--captions", scenes / "Flickr8k.token.txt", "--splits", scenes),
        *("--encoder-weights", "none", "--encoder-layer", "block2_pool", "--image-size", 71),
        *("--features", "grid", "--grid-size", 3, "--shard-size", 20),
        *("--descriptions", root / "descriptions.txt"),
    )


def manifests(output: Path) -> list[dict]:
    return [json.loads(file.read_text()) for file in sorted((output / "runs").iterdir())]


def ids_of_scenes(root: Path) -> set[str]:
    return {path.name for path in (root / "scenes/Flicker8k_Dataset").glob("scene*")}


@pytest.mark.parametrize("decoder", ["attention", "merge"])
def test_from_pictures_to_scores(work: Path, decoder: str, capsys, tmp_path: Path) -> None:
    model, output = work / decoder, work / f"captions-{decoder}"
    flags = ("--epochs", 1, "--decoder", decoder, "--units", 16, "--min-count", 1)
    run("train", "--features", work / "features", "--output", model, *flags)
    run("caption", "--input", work / "features", "--model", model, "--output", output)
    capsys.readouterr()
    scenes = work / "scenes"
    references = ("--references", scenes / "Flickr8k.token.txt", "--splits", scenes)
    run("evaluate", "--captions", output, *references, "--show", 2)
    said = capsys.readouterr().out
    assert "6 images of the split 'test'" in said
    assert re.search(r"BLEU-1 \d\.\d+, .*BLEU-4 \d\.\d+", said)
    assert re.search(r"wholly right: \d+\.\d%", said)
    assert {record.id for record in captions.read(str(output))} == ids_of_scenes(work)
    for file in (output / "shards").iterdir():
        for line in file.read_text().splitlines():
            jsonschema.validate(json.loads(line), SCHEMA)


def test_features_and_failures_add_up_to_the_input(work: Path) -> None:
    dataset = FeatureDataset.load(str(work / "features"))
    assert dataset.counts == {"train": 51, "dev": 3, "test": 6}
    ids = {id for split in dataset.counts for id, _ in dataset.captions(split)}
    assert ids == ids_of_scenes(work)
    failures = [
        json.loads(line)
        for file in (work / "features/failures").iterdir()
        for line in file.read_text().splitlines()
    ]
    assert {failure["id"]: failure["reason"] for failure in failures} == {
        "empty.jpg": "empty",
        "note.txt": "not_an_image",
    }


def test_everything_again_does_no_image_again(work: Path, capsys) -> None:
    model, output = work / "again", work / "captions-again"
    train = ("train", "--features", work / "features", "--output", model, "--epochs", 1)
    caption = ("caption", "--input", work / "features", "--model", model, "--output", output)
    run(*train)
    run(*caption)
    dataset, trained = (work / "features/dataset.json").read_text(), model / "decoder.weights.h5"
    before = trained.stat().st_mtime_ns
    extract(work)
    run(*train)
    run(*caption)
    assert (work / "features/dataset.json").read_text() == dataset
    assert trained.stat().st_mtime_ns == before
    for directory, failed in [(work / "features", 2), (output, 0)]:
        images = manifests(directory)[-1]["images"]
        assert images["skipped"] == 60 and images["failed_before"] == failed
        assert images["done"] == 0 and images["failed"] == {}


def test_one_split_can_be_captioned_and_then_the_rest(work: Path, capsys) -> None:
    model, output = work / "split", work / "captions-split"
    run("train", "--features", work / "features", "--output", model, "--epochs", 1)
    caption = ("caption", "--input", work / "features", "--model", model, "--output", output)
    run(*caption, "--split", "dev")
    dataset = FeatureDataset.load(str(work / "features"))
    dev = {id for id, _ in dataset.captions("dev")}
    assert {record.id for record in captions.read(str(output))} == dev
    assert manifests(output)[-1]["images"]["absent"] == 0
    run(*caption)
    assert {record.id for record in captions.read(str(output))} == ids_of_scenes(work)
    assert manifests(output)[-1]["images"]["skipped"] == 3
    capsys.readouterr()
    from_images = ("caption", "--input", work / "scenes", "--output", work / "none")
    assert cli.main([*map(str, (*from_images, "--model", model)), "--split", "dev"]) == 2
    assert "only extracted features know" in capsys.readouterr().err


def test_captions_from_images_are_those_from_features(work: Path, capsys) -> None:
    model, scenes = work / "both", work / "scenes/Flicker8k_Dataset"
    flags = ("--epochs", 1, "--decoder", "merge", "--units", 16, "--min-count", 1)
    run("train", "--features", work / "features", "--output", model, *flags)
    # Some words even of a model that has learnt none, and few, since what rounding changes adds up.
    search = ("--width", 2, "--min-length", 3, "--max-length", 5)
    found = {}
    for name, source in [("features", work / "features"), ("images", scenes)]:
        output = work / f"captions-from-{name}"
        run("caption", "--input", source, "--model", model, "--output", output, *search)
        found[name] = {record.id: record for record in captions.read(str(output))}
    assert found["images"].keys() == found["features"].keys() == ids_of_scenes(work)
    # The features were rounded to float16 in between.
    for id, record in found["images"].items():
        other = found["features"][id]
        assert record.content_hash == other.content_hash
        assert record.log_probability == pytest.approx(other.log_probability, abs=0.05)
    capsys.readouterr()
    image = sorted(scenes.glob("scene*"))[0]
    run("caption", image, "--model", model, *search)
    caption = found["images"][image.name].caption
    assert capsys.readouterr().out == caption + "\n" and len(caption.split()) >= 3
    options = SearchOptions(width=2, min_length=3, max_length=5)
    assert Captioner.load(str(model), search=options).caption([str(image)])[0].text == caption


def test_a_model_of_another_encoder_is_refused(work: Path, tmp_path: Path, capsys) -> None:
    model = work / "other"
    run("train", "--features", work / "features", "--output", model, "--epochs", 1)
    scenes = work / "scenes/Flicker8k_Dataset"
    flags = ("--encoder-weights", "none", "--encoder-layer", "block2_pool", "--image-size", 75)
    run("extract", "--input", scenes, "--output", tmp_path / "features", *flags)
    arguments = ("--input", tmp_path / "features", "--output", tmp_path / "out", "--model", model)
    assert cli.main(["caption", *map(str, arguments)]) == 2
    assert "another encoder" in capsys.readouterr().err


def test_cleaned_captions_are_written(work: Path) -> None:
    lines = (work / "descriptions.txt").read_text().splitlines()
    assert len(lines) == 300
    assert all(re.fullmatch(r"scene_\d+( [a-z]+)+", line) for line in lines)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_the_demo_is_right_about_unseen_scenes(tmp_path: Path) -> None:
    run = subprocess.run(
        [ROOT / "run_local.sh", "--output", tmp_path / "out"], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    right = re.search(r"wholly right: (\d+\.\d)%", run.stdout)
    assert right and float(right[1]) >= 85.0, run.stdout
    assert run.stdout.count("right: ") + run.stdout.count("WRONG: ") == 13


@pytest.mark.slow
@needs_photos
@pytest.mark.timeout(1500)
def test_a_slice_of_real_photos(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for split, count in [("train", 96), ("dev", 32)]:
        names = (DATA / f"flickr8k/Flickr_8k.{split}Images.txt").read_text().split()
        for name in names[:count]:
            shutil.copy(DATA / "flickr8k/images" / name, photos)
    out = tmp_path / "out"
    command = [ROOT / "run_local.sh", "--images", photos, "--output", out, "--epochs", "2"]
    command += ["--captions", DATA / "flickr8k/Flickr8k.token.txt", "--splits", DATA / "flickr8k"]
    command += ["--encoder-weights", DATA / "xception/xception_notop_f16.weights.h5"]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "32 images of the split 'dev'" in run.stdout
    assert {record.id for record in captions.read(str(out / "captions"))} == {
        path.name for path in photos.iterdir()
    }
