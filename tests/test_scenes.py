"""The scenes that the project draws: what they show, what their captions say, how they are kept."""

from __future__ import annotations

import dataclasses
import filecmp
import itertools
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from captioner.corpora import scenes
from captioner.corpora.scenes import drawing, wording
from captioner.corpora.scenes.facts import BACKGROUNDS, COLOURS, KINDS, RELATIONS, SIZES
from captioner.errors import UserError

THINGS = st.builds(
    scenes.Thing, st.sampled_from(SIZES), st.sampled_from(COLOURS), st.sampled_from(KINDS)
)
FACTS = st.builds(
    scenes.Facts, THINGS, THINGS, st.sampled_from(RELATIONS), st.sampled_from(BACKGROUNDS)
)
# White is the colour of every thing's rim too, so that pixels don't tell it.
TINTED = FACTS.filter(lambda facts: "white" not in (facts.first.colour, facts.second.colour))


def clean(caption: str) -> str:
    """As captions are cleaned for training: lower case, no punctuation, no single letters."""
    words = "".join(letter for letter in caption.lower() if letter.isalpha() or letter == " ")
    return " ".join(word for word in words.split() if len(word) > 1)


@given(FACTS, st.sampled_from(wording.WORDINGS), st.booleans(), st.booleans())
def test_every_wording_reads_back_as_the_same_facts(facts, form, turned, cleaned):
    caption = scenes.tell(facts, form, turned)
    assert scenes.read_facts(clean(caption) if cleaned else caption) == facts


def changes(facts: scenes.Facts) -> list[scenes.Facts]:
    """All the facts that differ from these in one."""
    changed = []
    for place in ("first", "second"):
        for field, names in (("size", SIZES), ("colour", COLOURS), ("kind", KINDS)):
            for name in names:
                thing = dataclasses.replace(getattr(facts, place), **{field: name})
                changed.append(dataclasses.replace(facts, **{place: thing}))
    changed += [dataclasses.replace(facts, relation=relation) for relation in RELATIONS]
    changed += [dataclasses.replace(facts, background=background) for background in BACKGROUNDS]
    changed.append(dataclasses.replace(facts, first=facts.second, second=facts.first))
    return [other for other in changed if other != facts]


@settings(max_examples=20)
@given(FACTS, st.sampled_from(wording.WORDINGS), st.sampled_from(wording.WORDINGS), st.booleans())
def test_a_caption_with_one_wrong_fact_is_wrong(facts, form, other_form, turned):
    references = [scenes.tell(facts, form, turned)]
    assert scenes.is_right(scenes.tell(facts, other_form, not turned), references)
    for other in changes(facts):
        assert not scenes.is_right(scenes.tell(other, other_form, turned), references)


@pytest.mark.parametrize(
    "caption",
    [
        "",
        "two dogs run on a beach",
        "a large red star is above a small blue fish",
        "a large red star is above a small blue fish at night at night",
        "on the left is a star large and red and on the left a fish small and blue at night",
    ],
)
def test_other_captions_state_no_facts(caption):
    assert scenes.read_facts(caption) is None
    assert not scenes.is_right(caption, [caption])


def test_the_relation_reads_the_same_from_either_side():
    star = "a large red star is to the left of a small blue fish at night"
    fish = "a small blue fish is to the right of a large red star at night"
    assert scenes.read_facts(star) == scenes.read_facts(fish)


def test_a_fifth_of_the_combinations_is_held_out_and_each_kind_and_colour_is_seen():
    seen = [
        (kind, colour)
        for kind, colour in itertools.product(KINDS, COLOURS)
        if not scenes.is_held_out(scenes.Thing("large", colour, kind))
    ]
    combinations = len(KINDS) * len(COLOURS)
    assert 0.2 <= 1 - len(seen) / combinations <= 0.25
    assert {kind for kind, _ in seen} == set(KINDS)
    assert {colour for _, colour in seen} == set(COLOURS)


def drawn(facts: scenes.Facts, seed: int) -> np.ndarray:
    """A scene's picture, uint8 [height, width, 3]."""
    return np.asarray(drawing.draw_scene(facts, np.random.default_rng(seed)))


def mask(picture: np.ndarray, colour: str, tolerance: float = drawing.VARIATION) -> np.ndarray:
    """Where a picture has about a colour of the palette, bool [height, width]."""
    return (np.abs(picture.astype(int) - drawing.PALETTE[colour]) <= tolerance).all(axis=-1)


@settings(max_examples=60, deadline=None)
@given(TINTED, st.integers(0, 2**32))
def test_the_picture_shows_the_colours_where_the_relation_says(facts, seed):
    things = (facts.first, facts.second)
    picture = drawn(facts, seed)
    tints = [colour for colour in COLOURS if colour != "white"]
    shown = {colour for colour in tints if mask(picture, colour).sum() > 100}
    assert shown == {thing.colour for thing in things}
    if len(shown) == 2:
        (y, x), (other_y, other_x) = (
            np.argwhere(mask(picture, thing.colour)).mean(axis=0) for thing in things
        )
        right, down = other_x - x, other_y - y
        along, across = (right, down) if facts.relation == "left of" else (down, right)
        assert along > 1.2 * abs(across)


@settings(max_examples=20, deadline=None)
@given(TINTED, st.integers(0, 2**32))
def test_large_things_are_larger_than_small_ones(facts, seed):
    # Their darker parts are counted, whichever shade they have by chance.
    tolerance = drawing.VARIATION + 255 * drawing.SHADE
    pictures = (
        drawn(scenes.Facts(thing, thing, facts.relation, "snow"), seed)
        for thing in (dataclasses.replace(facts.first, size=size) for size in SIZES)
    )
    areas = [mask(picture, facts.first.colour, tolerance).sum() for picture in pictures]
    assert areas[0] > 1.4 * areas[1]


def test_no_two_kinds_look_alike():
    fish = scenes.Thing("large", "blue", "fish")
    masks = {
        kind: mask(
            drawn(scenes.Facts(dataclasses.replace(fish, kind=kind), fish, "above", "snow"), 5),
            "blue",
        )
        for kind in KINDS
    }
    for one, other in itertools.combinations(masks.values(), 2):
        half = len(one) // 2  # the upper thing alone
        assert (one ^ other)[:half].sum() > 0.25 * (one | other)[:half].sum()


@settings(max_examples=30, deadline=None)
@given(FACTS, st.integers(0, 2**32))
def test_the_background_is_told_by_the_edges_of_the_picture(facts, seed):
    edges = {}
    for background in BACKGROUNDS:
        rows = drawn(dataclasses.replace(facts, background=background), seed)[[0, -1]]
        edges[background] = np.median(rows, axis=1)
    for one, other in itertools.combinations(edges.values(), 2):
        assert np.abs(one - other).max() > 20


@pytest.fixture(scope="module")
def collection(tmp_path_factory) -> str:
    directory = str(tmp_path_factory.mktemp("drawn") / "scenes")
    scenes.draw(directory, count=200, seed=3)
    return directory


def lines(directory: str, name: str) -> list[str]:
    with open(os.path.join(directory, name), encoding="utf-8") as file:
        return file.read().splitlines()


def captions_of(directory: str) -> dict[str, list[str]]:
    captions: dict[str, list[str]] = {}
    for line in lines(directory, "Flickr8k.token.txt"):
        key, caption = line.split("\t")
        name, number = key.split("#")
        assert int(number) == len(captions.setdefault(name, []))
        captions[name].append(caption)
    return captions


def test_the_collection_is_laid_out_as_flickr8k(collection):
    captions = captions_of(collection)
    splits = {
        split: lines(collection, f"Flickr_8k.{split}Images.txt")
        for split in ("train", "dev", "test")
    }
    assert {split: len(names) for split, names in splits.items()} == {
        "train": 170,
        "dev": 10,
        "test": 20,
    }
    assert sorted(itertools.chain(*splits.values())) == sorted(captions)
    assert sorted(os.listdir(os.path.join(collection, "Flicker8k_Dataset"))) == sorted(captions)


def test_the_five_captions_of_a_scene_are_worded_differently_and_state_the_same(collection):
    for captions in captions_of(collection).values():
        assert len(set(captions)) == 5
        assert all(caption.endswith(" .") for caption in captions)
        assert len({scenes.read_facts(caption) for caption in captions} - {None}) == 1
        assert all(scenes.is_right(caption, captions[:1]) for caption in captions)


def test_held_out_combinations_are_in_every_test_scene_and_no_other(collection):
    captions = captions_of(collection)
    for split in ("train", "dev", "test"):
        for name in lines(collection, f"Flickr_8k.{split}Images.txt"):
            facts = scenes.read_facts(captions[name][0])
            held_out = scenes.is_held_out(facts.first) or scenes.is_held_out(facts.second)
            assert held_out == (split == "test")


def test_the_same_seed_draws_the_same_bytes_and_another_others(collection, tmp_path):
    again, other = str(tmp_path / "again"), str(tmp_path / "other")
    scenes.draw(again, count=200, seed=3)
    scenes.draw(other, count=200, seed=4)
    names = [os.path.join("Flicker8k_Dataset", name) for name in captions_of(collection)]
    names += ["Flickr8k.token.txt", "Flickr_8k.testImages.txt"]
    assert filecmp.cmpfiles(collection, again, names, shallow=False) == (names, [], [])
    assert len(filecmp.cmpfiles(collection, other, names, shallow=False)[0]) <= 1


def test_drawing_again_leaves_the_collection_as_it_is(collection):
    picture = os.path.join(collection, "Flicker8k_Dataset", "scene_000000.jpg")
    before = os.stat(picture).st_mtime_ns
    scenes.draw(collection, count=200, seed=3)
    assert os.stat(picture).st_mtime_ns == before


@pytest.mark.parametrize("wanted", [{"count": 201, "seed": 3}, {"count": 200, "seed": 4}])
def test_another_collection_is_not_overwritten(collection, wanted):
    with pytest.raises(UserError, match="something else"):
        scenes.draw(collection, **wanted)


def test_other_files_are_not_overwritten(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"mine")
    with pytest.raises(UserError, match="something else"):
        scenes.draw(str(tmp_path), count=3)
    assert os.listdir(tmp_path) == ["holiday.jpg"]


def test_too_few_scenes_and_a_place_that_cannot_be_written_are_named(tmp_path):
    with pytest.raises(UserError, match="too few"):
        scenes.draw(str(tmp_path / "scenes"), count=2)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match="cannot draw scenes into"):
        scenes.draw(str(tmp_path / "file" / "scenes"), count=3)
