"""Planning: ids, what is decided of each, and a plan that stays as it was written."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that, equal_to
from hypothesis import given
from hypothesis import strategies as st

from captioner import listing, storage
from captioner.tasks import Reference, Task, shared_id, twin_id
from pipelines import deciding, sharding
from pipelines.listing import ListImages


def test_listing_finds_what_walking_does(stub, picture) -> None:
    for name in ["top.png", "a/one.png", "a/b/two.png", "c/a[1] *.png"]:
        picture(stub.input / name)
    expected = [
        listing.as_listed(entry, str(stub.input)) for entry in storage.walk(str(stub.input))
    ]
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        assert_that(pipeline | ListImages(str(stub.input)), equal_to(expected))
    assert {id for id, _ in expected} == {"top.png", "a/one.png", "a/b/two.png", "c/a[1] *.png"}


@pytest.mark.parametrize("root", ["/in", "/in/", "gs://bucket/in", "s3://bucket"])
def test_an_id_is_the_path_below_the_root(root: str) -> None:
    assert listing.image_id(storage.join(root, "a", "b.jpg"), root) == "a/b.jpg"


def test_ids_are_nfc_wherever_the_name_comes_from() -> None:
    for form in ("NFC", "NFD"):
        name = unicodedata.normalize(form, "é.jpg")
        assert listing.image_id(f"/in/{name}", "/in") == unicodedata.normalize("NFC", "é.jpg")


def test_names_that_are_not_utf8_have_ids_that_are(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jpg")).touch()
    (entry,) = storage.walk(str(tmp_path))
    assert listing.image_id(entry.uri, str(tmp_path)) == "caf\\xe9.jpg"


references = st.builds(Reference, st.text(min_size=1), st.text(), st.text()).map(
    lambda reference: reference._replace(uri=f"/in/{reference.id}")
)


@given(st.lists(references, min_size=1), st.randoms())
def test_a_task_has_the_same_id_whatever_the_order(found: list[Reference], random) -> None:
    task = Task.of(found, "settings")
    random.shuffle(found)
    assert Task.of(found, "settings") == task
    assert Task.of(found, "other settings").id != task.id


def test_a_task_survives_being_written_and_is_never_rewritten(tmp_path: Path) -> None:
    one = Task.of(
        [
            Reference("a", "/a", "1", "", "", "train", "run", True, ("A dog .",), ("en",)),
            Reference("b", "/b", "1", split="train", captions=("A dog .", "Ein Hund .")),
        ],
        "s",
    )
    other = Task.of([Reference("b", "/b", "1")], "s")
    uri = one.publish(str(tmp_path), "train-00000")
    assert other.publish(str(tmp_path), "train-00000") == uri
    assert Task.read(uri) == one


def test_shard_counts_are_fixed_once(stub) -> None:
    job = stub.job(shard_size=4)
    assert sharding.fix_shard_counts({"train": 9, "dev": 1}, job) == {"train": 3, "dev": 1}
    assert sharding.fix_shard_counts({"train": 900}, job) == {"train": 3, "dev": 1}


@given(st.lists(st.text(), unique=True, min_size=1), st.integers(1, 5))
def test_an_id_is_always_in_the_same_shard(ids: list[str], shards: int) -> None:
    def shard(id: str) -> str:
        return sharding.with_shard(tuple(Reference(id, "", "", split="train")), {"train": shards})[
            0
        ]

    assert [shard(id) for id in ids] == [shard(id) for id in ids]
    assert {shard(id) for id in ids} <= {f"train-{n:05d}" for n in range(shards)}


RUN = "20260101T000000.000000Z-000000"


@pytest.mark.parametrize(
    ("before", "stands"),
    [
        (None, False),
        ((RUN, "1:1", "", False, ""), True),
        ((RUN, "2:2", "", False, ""), False),
        ((RUN, "1:1", "truncated", True, ""), True),
        ((RUN, "1:1", "unreadable", False, ""), False),
    ],
    ids=["new", "done", "changed", "broken for good", "failed in passing"],
)
def test_what_is_done_again(before: tuple | None, stands: bool) -> None:
    assert deciding.still_holds(Reference("a", "/a", "1:1"), before) is stands


@pytest.mark.parametrize(
    ("images", "shard_size", "shards"),
    [(10, 256, 1), (250, 256, 8), (1000, 256, 17), (10_000, 256, 40), (250, 4, 63), (1000, 50, 20)],
)
def test_a_small_job_has_smaller_shards(stub, images: int, shard_size: int, shards: int) -> None:
    counts = sharding.fix_shard_counts({"images": images}, stub.job(shard_size=shard_size))
    assert counts == {"images": shards}


def test_the_tally_adds_up() -> None:
    here = Reference("a", "/a", "1:1")
    done = (RUN, "1:1", "", False, "train")
    failed = (RUN, "1:1", "empty", True, "train")

    def tally(*known: object) -> list[str]:
        return list(deciding.tally_of(*known))

    assert tally(here, None, False) == ["seen"]
    assert tally(here, done, True) == ["seen", "skipped", "current:train"]
    assert tally(here, done, False) == ["seen"]
    assert tally(here, failed, True) == ["seen", "failed_before"]
    assert tally(None, done, True) == ["absent", "current:train"]
    assert tally(None, failed, True) == ["absent"]
    assert tally(None, done, True, True) == ["current:train"]


def test_captions_that_change_make_an_image_new(stub) -> None:
    job = stub.job(captions="/captions.csv")
    listed = [("/in/a", "1:1", "", "")]
    one, *others = (
        deciding.references_of("a", listed, [known], job)["a"]
        for known in (
            ("train", ("A dog .",), ()),
            ("train", ("A cat .",), ()),
            ("train", ("A dog .",), ("en",)),
            ("dev", ("A dog .",), ()),
        )
    )
    assert (one.split, one.captions) == ("train", ("A dog .",))
    assert others[1].languages == ("en",)
    assert len({one.stamp, *(other.stamp for other in others)}) == 4


def test_captions_without_an_image_are_nothing_to_do(stub) -> None:
    job = stub.job(captions="/captions.csv")
    assert deciding.references_of("a", [], [("train", ("A dog .",), ())], job) == {}


def test_files_whose_names_look_the_same_are_told_apart(stub) -> None:
    composed, decomposed = (unicodedata.normalize(form, "é.png") for form in ("NFC", "NFD"))
    listed = [(f"{stub.input}/{name}", "1:1", "", "") for name in (decomposed, composed)]
    found = deciding.references_of(composed, listed, [], stub.job())
    assert {id: reference.uri for id, reference in found.items()} == {
        composed: f"{stub.input}/{composed}",
        twin_id(composed, decomposed): f"{stub.input}/{decomposed}",
    }
    assert {shared_id(id) for id in found} == {composed}


def test_the_newest_of_several_features_of_an_image_is_taken(stub) -> None:
    job = stub.job(from_features=True)
    done = [(f"/in/{n % 2}/a.png", "hash", f"/shards/{n}", f"run{n}:/shards/{n}") for n in range(5)]
    failed = [("", "", f"/shards/{n}", f"run{n}:/shards/{n}") for n in range(5)]

    def source(*listed: tuple) -> list[str]:
        found = deciding.references_of("a.png", listed, [], job)
        return [reference.source for reference in found.values()]

    assert source(done[3], done[4], done[1]) == ["/shards/4"]
    assert source(done[1], failed[2], done[3]) == ["/shards/3"]
    assert source(failed[3], done[1], failed[0]) == []


def test_suspects_are_kept_from_the_others() -> None:
    known = Reference("a", "/a", "1:1", split="train")
    counts = {"train": 1, "train-suspects": 1}
    one, _ = sharding.with_shard(tuple(known), counts)
    other, _ = sharding.with_shard(tuple(known._replace(suspect=True)), counts)
    assert one != other
