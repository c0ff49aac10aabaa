"""Collections in every format they come in, written here as the originals write them."""

from __future__ import annotations

import csv
import json
import os
import tempfile
import unicodedata
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from captioner import corpora
from captioner.corpora import CaptionedImage
from captioner.errors import UserError

FLICKR8K = Path(__file__).parents[2] / "shared/data/flickr8k"

TOKENS = (
    "dog.jpg#0\tA black dog , running .\n"
    "dog.jpg#1\tThe dog 's tri-colored coat .\n"
    "sea.jpg#0\tTwo people | at the sea .\n"
    "sea.jpg#1\t\n"
)
DOG = ("A black dog , running .", "The dog 's tri-colored coat .")
SEA = ("Two people | at the sea .", "")


def written(directory: Path, name: str, content: object) -> str:
    """A file of text, or of any value as JSON."""
    text = content if isinstance(content, str) else json.dumps(content)
    (directory / name).write_bytes(text.encode())
    return str(directory / name)


def read(captions: str, **options: str) -> dict[str, CaptionedImage]:
    images = list(corpora.read(captions, **options))
    assert len({image.id for image in images}) == len(images)
    return {image.id: image for image in images}


def complaint(captions: str, **options: str) -> str:
    with pytest.raises(UserError) as caught:
        corpora.read(captions, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


# Cleaning


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("A child in a pink dress .", "a child in a pink dress"),
        ("The dog 's ball", "the dog ball"),
        ("The dog's ball", "the dogs ball"),
        ("A tri-colored t-shirt", "a tricolored tshirt"),
        ("A man says \" hi \" , and I wave !", "a man says hi and i wave"),
        ("2 dogs , 3rd and #22 , 1990s", "dogs and"),
        ("  Tabs\tand\nlines  ", "tabs and lines"),
        ("Ein Mädchen läuft über die Straße", "ein mädchen läuft über die straße"),
        ("Cafe\u0301", "café"),
        ("कुत्ता दौड़ता है ।", unicodedata.normalize("NFC", "कुत्ता दौड़ता है")),
        ("犬 と 猫 ٣ Ⅷ ½", "犬と猫"),
        ("开一只狗，2只猫。", "开一只狗只猫"),
        ("iPhone手机 3D电影 T恤", "iphone 手机电影恤"),
        ("개 한 마리가 달린다.", "개 한 마리가 달린다"),
        ("می‌خواهم 👩‍🚀 \u200d", "می‌خواهم"),
        ("ක්‍රීඩා", "ක්‍රීඩා"),
        ("สุนัข วิ่ง", "สุนัขวิ่ง"),
        ("snake_case &amp; `quotes’ 🐕", "snakecase amp quotes"),
        ("... !", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_clean(caption: str, expected: str) -> None:
    assert corpora.clean(caption) == expected


@pytest.mark.parametrize(
    ("language", "caption", "expected"),
    [
        ("fr", "L'homme à l’arc-en-ciel, y a-t-il ?", "l'homme à l'arc-en-ciel y a-t-il"),
        ("de", "Eine U-Bahn - 'schnell' !", "eine u-bahn schnell"),
        ("es", "perro y gato", "perro y gato"),
        ("ca", "col·lecció", "col·lecció"),
        ("ja", "犬-猫", "犬猫"),
        ("en-GB", "The dog 's tri-colored coat", "the dog tricolored coat"),
    ],
)
def test_other_languages_keep_what_belongs_to_their_words(
    language: str, caption: str, expected: str
) -> None:
    assert corpora.clean(caption, language) == expected


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("一只狗", ["一", "只", "狗"]),
        ("犬がボールT", ["犬", "が", "ボ", "ー", "ル"]),
        ("วิ่งน้ำ", ["วิ่", "ง", "น้", "ำ"]),
        ("ស្រី", ["ស្", "រី"]),
        ("ခွေး", ["ခွေး"]),
        ("ໝາ", ["ໝ", "າ"]),
        ("か\u3099", ["が"]),
        ("a 狗 dog狗 b", ["a", "狗", "dog", "狗"]),
    ],
)
def test_scripts_without_spaces_come_in_characters_with_their_marks(
    caption: str, expected: list[str]
) -> None:
    assert corpora.words(caption) == expected


# Letters, marks, signs and digits of scripts that behave differently, next to each other.
ANY_SCRIPT = st.text() | st.text(
    alphabet="aIß'’-·.1 Σée\u0301犬がカー々\u3099ｶﾞ한ᄒ\u1161สุ่ក្ရွေक्ष\u200d\u200cم‌ی३"
)


@settings(max_examples=300)
@given(ANY_SCRIPT, st.sampled_from(["", "en", "fr", "ja"]))
@example("İ ΑΣ. \u0345 ǅ ﬁ K Å e-\u0301", "")
def test_cleaning_again_changes_nothing(caption: str, language: str) -> None:
    cleaned = corpora.clean(caption, language)
    assert corpora.clean(cleaned, language) == cleaned
    assert cleaned == unicodedata.normalize("NFC", cleaned)
    assert cleaned == " ".join(cleaned.split())


@settings(max_examples=300)
@given(ANY_SCRIPT, st.sampled_from(["", "en", "fr", "ja"]))
def test_joined_words_come_apart_again(caption: str, language: str) -> None:
    words = corpora.words(caption, language)
    assert corpora.words(corpora.join(words), language) == words


@given(st.text(alphabet="abcXYZ 19.,'-\"#"))
def test_cleaned_words_are_made_of_letters(caption: str) -> None:
    for word in corpora.clean(caption).split():
        assert word.isalpha() and word.islower() and (len(word) > 1 or word == "a")


# Flickr8k and Flickr30k


@pytest.mark.parametrize("name", ["Flickr8k.token.txt", "results_20130124.token", "anything"])
def test_flickrs_own_format(tmp_path: Path, name: str) -> None:
    images = read(written(tmp_path, name, TOKENS))
    assert {id: image.captions for id, image in images.items()} == {"dog.jpg": DOG, "sea.jpg": SEA}


def test_flickr8ks_one_wrong_name_is_kept_as_it_is(tmp_path: Path) -> None:
    tokens = written(tmp_path, "t", "2258277193_586949ec62.jpg.1#0\tPeople on a beach .\n")
    assert read(tokens)["2258277193_586949ec62.jpg.1"].captions == ("People on a beach .",)


def test_images_and_captions_keep_the_order_of_the_file(tmp_path: Path) -> None:
    tokens = written(tmp_path, "t", "z.jpg#1\tsecond\na.jpg#0\tother\nz.jpg#0\tfirst\n")
    images = list(corpora.read(tokens))
    assert [image.id for image in images] == ["z.jpg", "a.jpg"]
    assert images[0].captions == ("second", "first")


def test_a_file_with_a_byte_order_mark_and_windows_line_ends(tmp_path: Path) -> None:
    tokens = written(tmp_path, "t", "\ufeff" + TOKENS.replace("\n", "\r\n"))
    assert read(tokens)["dog.jpg"].captions == DOG


def test_ids_are_normalised(tmp_path: Path) -> None:
    tokens = written(tmp_path, "t", "cafe\u0301.jpg#0\tone\ncaf\u00e9.jpg#1\ttwo\n")
    assert read(tokens)["caf\u00e9.jpg"].captions == ("one", "two")


def test_flickr30k_of_kaggle(tmp_path: Path) -> None:
    """Its captions hold commas and quotes unquoted, and one line lacks a bar."""
    results = (
        "image_name| comment_number| comment\n"
        '1.jpg| 0| A man , "alone" .\n'
        "1.jpg| 4   A dog runs across the grass .\n"
    )
    images = read(written(tmp_path, "results.csv", results))
    assert images["1.jpg"].captions == ('A man , "alone" .', "A dog runs across the grass .")


@pytest.mark.parametrize(
    ("line", "expected"), [("no caption here", "line 3"), ("dog.jpg#2 no tab", "line 3")]
)
def test_a_line_that_is_no_caption(tmp_path: Path, line: str, expected: str) -> None:
    tokens = written(tmp_path, "t", f"dog.jpg#0\tone\ndog.jpg#1\ttwo\n{line}\n")
    message = complaint(tokens)
    assert tokens in message and expected in message and "tab" in message


# COCO


def coco(captions: dict[str, tuple[str, ...]]) -> dict[str, list[dict[str, object]]]:
    """COCO's shape, its annotations in an order of their own."""
    images = [{"id": 7 * n, "file_name": name} for n, name in enumerate(captions)]
    annotations = [
        {"id": 1, "image_id": image["id"], "caption": caption}
        for image in reversed(images)
        for caption in captions[image["file_name"]]
    ]
    return {"info": {}, "licenses": [], "images": images, "annotations": annotations}


@pytest.mark.parametrize("indent", [None, 1])
def test_coco(tmp_path: Path, indent: int | None) -> None:
    content = coco({"1.jpg": ("one", " two\n"), "2.jpg": (), "3.jpg": ("three",)})
    images = read(written(tmp_path, "captions.json", json.dumps(content, indent=indent)))
    assert [(id, image.captions) for id, image in images.items()] == [
        ("1.jpg", ("one", "two")),
        ("3.jpg", ("three",)),
    ]


def test_cocos_directory_states_the_splits(tmp_path: Path) -> None:
    written(tmp_path, "captions_train2017.json", coco({"1.jpg": ("one",)}))
    written(tmp_path, "captions_val2017.json", coco({"2.jpg": ("two",)}))
    written(tmp_path, "instances_val2017.json", "not read")
    images = read(str(tmp_path))
    assert {id: image.split for id, image in images.items()} == {"1.jpg": "train", "2.jpg": "dev"}


KARPATHY = {
    "images": [
        {"filename": f"{split}.jpg", "split": split, "sentences": [{"raw": "A dog ."}]}
        for split in ("train", "restval", "val", "test")
    ],
    "dataset": "flickr8k",
}
KARPATHYS_SPLITS = {
    "train.jpg": "train",
    "restval.jpg": "train",
    "val.jpg": "dev",
    "test.jpg": "test",
}


def test_karpathys_json(tmp_path: Path) -> None:
    images = read(written(tmp_path, "dataset_flickr8k.json", KARPATHY))
    assert {id: image.split for id, image in images.items()} == KARPATHYS_SPLITS
    assert images["val.jpg"].captions == ("A dog .",)


@pytest.mark.parametrize(
    "content",
    [
        {"images": [{"id": 1}], "annotations": []},
        {"images": [], "annotations": [{"image_id": 3, "caption": "one"}]},
        {"images": [{"id": 1, "file_name": "1.jpg"}], "annotations": [{"image_id": 1}]},
        {"images": [{"id": 1, "file_name": 1}], "annotations": [{"image_id": 1, "caption": ""}]},
        {"images": {"id": 1}, "annotations": []},
        {"images": [{"filename": "1.jpg"}]},
        {"images": [{"filename": "1.jpg", "sentences": [{"raw": "one"}], "split": 3}]},
        {"images": []},
    ],
)
def test_json_that_is_not_cocos(tmp_path: Path, content: object) -> None:
    captions = written(tmp_path, "captions.json", content)
    assert captions in complaint(captions, captions_format="coco")


def test_json_that_breaks_off_names_the_line(tmp_path: Path) -> None:
    captions = written(tmp_path, "captions.json", '{"images": [\n{"id": 1,\n')
    assert f"{captions}, line 3" in complaint(captions)


# JSONL and CSV


def test_jsonl(tmp_path: Path) -> None:
    lines = [
        {"image": "1.jpg", "caption": "one", "split": "validation", "model": "ours"},
        {"id": "2.jpg", "captions": ["two", "three"], "split": None},
        {"id": "1.jpg", "caption": "four"},
        {"id": "3.jpg", "captions": []},
    ]
    images = read(written(tmp_path, "c", "\n\n".join(map(json.dumps, lines))))
    assert list(images.values()) == [
        CaptionedImage("1.jpg", ("one", "four"), "dev"),
        CaptionedImage("2.jpg", ("two", "three"), ""),
    ]


# Languages

TWO_LANGUAGES = CaptionedImage(
    "1.jpg", ("a dog", "ein Hund", "eine U-Bahn", "?"), "dev", languages=("en", "de", "de", "")
)


def test_jsonl_with_languages(tmp_path: Path) -> None:
    lines = [
        {"image": "1.jpg", "caption": "a dog", "language": "en", "split": "dev"},
        {"image": "1.jpg", "captions": ["ein Hund", "eine U-Bahn"], "language": "DE"},
        {"image": "1.jpg", "caption": "?", "language": None},
    ]
    images = read(written(tmp_path, "c", "\n".join(map(json.dumps, lines))))
    assert images["1.jpg"] == TWO_LANGUAGES


def test_csv_with_languages(tmp_path: Path) -> None:
    lines = "image,caption,Language,split\n1.jpg,a dog,en,dev\n1.jpg,ein Hund,de,\n"
    lines += "1.jpg,eine U-Bahn,de,\n1.jpg,?,,\n"
    assert read(written(tmp_path, "c.csv", lines))["1.jpg"] == TWO_LANGUAGES


@pytest.mark.parametrize(
    ("text", "tag"),
    [("de", "de"), (" PT_br ", "pt-BR"), ("zh-hant-tw", "zh-Hant-TW"), ("es-419", "es-419")],
)
def test_tags_are_written_in_one_way(text: str, tag: str) -> None:
    assert corpora.language_tag(text) == tag


def test_no_language_tag(tmp_path: Path) -> None:
    captions = written(tmp_path, "c.csv", "image,caption,language\n1.jpg,due,it\n1.jpg,tre,it!\n")
    assert f"{captions}, line 3: 'it!' is no language tag" in complaint(captions)
    captions = written(tmp_path, "c", {"image": "1.jpg", "caption": "one", "language": "it!"})
    assert f"{captions}, line 1: 'it!' is no language tag" in complaint(captions)


def test_the_report_counts_languages() -> None:
    text = str(corpora.report(["1.jpg"], [TWO_LANGUAGES]))
    assert "languages: de 2, en 1, unknown 1" in text
    assert "languages" not in str(corpora.report(["1.jpg"], [CaptionedImage("1.jpg", ("a",))]))


def test_descriptions_keep_a_languages_own_words(tmp_path: Path) -> None:
    corpora.write_descriptions([TWO_LANGUAGES], f"{tmp_path}/descriptions.txt")
    lines = (tmp_path / "descriptions.txt").read_text().splitlines()
    assert lines == ["1 a dog", "1 ein hund", "1 eine u-bahn"]


@pytest.mark.parametrize(
    "line",
    [
        '{"id": "2.jpg"',
        '{"caption": "no image"}',
        '{"id": " ", "caption": "no image"}',
        '{"id": 3, "caption": "a number"}',
        '{"id": "2.jpg"}',
        '{"id": "2.jpg", "caption": null}',
        '{"id": "2.jpg", "captions": "one"}',
        '["2.jpg", "one"]',
    ],
)
def test_a_line_that_is_no_record(tmp_path: Path, line: str) -> None:
    captions = written(tmp_path, "c", '{"id": "1.jpg", "caption": "one"}\n' + line)
    assert f"{captions}, line 2" in complaint(captions)


@pytest.mark.parametrize(
    "line",
    [
        '{"id": "2.jpg", "caption": "half an emoji \\ud83d"}',
        '{"id": "\\uDE00.jpg", "caption": "half an emoji"}',
    ],
)
def test_half_an_emoji_is_no_text(tmp_path: Path, line: str) -> None:
    captions = written(tmp_path, "c", '{"id": "1.jpg", "caption": "one", "by": "\\ud83d"}\n')
    assert read(captions)["1.jpg"].captions == ("one",)
    captions = written(tmp_path, "c", line)
    assert f"{captions}: of '" in complaint(captions)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv(tmp_path: Path, delimiter: str) -> None:
    with open(tmp_path / "c.csv", "w", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(["Image", "Caption", "split"])
        writer.writerow(["1.jpg", 'One , "two" ;\tand\nmore', "train"])
        writer.writerow(["1.jpg", "three", "train"])
        writer.writerow(["2.jpg", "four", " "])
    images = read(str(tmp_path / "c.csv"))
    assert images["1.jpg"].captions == ('One , "two" ;\tand\nmore', "three")
    assert (images["1.jpg"].split, images["2.jpg"].split) == ("train", "")


def test_flickr8k_of_kaggle(tmp_path: Path) -> None:
    captions = 'image,caption\n1.jpg,"A man , alone ."\n1.jpg,A dog .\n'
    assert read(written(tmp_path, "captions.txt", captions))["1.jpg"].captions == (
        "A man , alone .",
        "A dog .",
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("picture,caption\n1.jpg,one\n", 1),
        ("image,text\n1.jpg,one\n", 1),
        ("image,caption\n1.jpg,one\n2.jpg,two, three\n", 3),
        ("image,caption\n1.jpg,one\n2.jpg\n", 3),
        ('image,caption\n1.jpg,"two\nlines"\n,three\n', 4),
        ('image,caption\n1.jpg,"never closed\n', 2),
    ],
)
def test_a_table_that_does_not_fit(tmp_path: Path, text: str, line: int) -> None:
    captions = written(tmp_path, "c.csv", text)
    assert f"{captions}, line {line}: " in complaint(captions)


words = st.text(alphabet="abc ,;|#0\t\"'é\u2028{}", min_size=1, max_size=20).map(
    lambda text: text.strip() or "x"
)
names = st.from_regex(r"[a-c0-9é_ -]{1,8}\.jpg", fullmatch=True).map(
    lambda name: unicodedata.normalize("NFC", name.strip())
)


@given(st.dictionaries(names, st.lists(words, min_size=1, max_size=3), min_size=1, max_size=4))
def test_every_format_gives_back_what_was_written(captions: dict[str, list[str]]) -> None:
    flat = [(name, text) for name, texts in captions.items() for text in texts]
    lines = {
        "flickr8k": "".join(f"{name}#0\t{text}\n" for name, text in flat),
        "jsonl": "".join(json.dumps({"id": name, "caption": text}) + "\n" for name, text in flat),
        "coco": json.dumps(coco({name: tuple(texts) for name, texts in captions.items()})),
    }
    with tempfile.TemporaryDirectory() as directory:
        with open(f"{directory}/csv", "w", newline="") as file:
            csv.writer(file).writerows([("image", "caption"), *flat])
        for name, text in lines.items():
            written(Path(directory), name, text)
        for name in corpora.FORMATS:
            found = read(f"{directory}/{name}", captions_format=name)
            assert {id: list(image.captions) for id, image in found.items()} == captions, name
            assert read(f"{directory}/{name}") == found, f"{name} isn't recognised"


# Files


def test_captions_that_are_not_there(tmp_path: Path) -> None:
    assert "no such file" in complaint(str(tmp_path / "none.txt"))


def test_a_directory_in_place_of_a_file(tmp_path: Path) -> None:
    assert "captions_train2017.json" in complaint(str(tmp_path))


def test_an_empty_file(tmp_path: Path) -> None:
    captions = written(tmp_path, "c", "")
    assert captions in complaint(captions)
    assert "no captions" in complaint(captions, captions_format="flickr8k")


def test_a_format_that_can_not_be_told(tmp_path: Path) -> None:
    assert "--captions-format" in complaint(written(tmp_path, "c", "Lorem ipsum\n"))


def test_an_unknown_format(tmp_path: Path) -> None:
    assert "flickr8k" in complaint(written(tmp_path, "c", TOKENS), captions_format="xml")


def test_text_that_is_not_utf_8(tmp_path: Path) -> None:
    (tmp_path / "c").write_bytes(b"1.jpg#0\tone\n2.jpg#0\tcaf\xe9\n")
    assert f"{tmp_path / 'c'}, line 2: isn't UTF-8" in complaint(str(tmp_path / "c"))


# Splits


def test_flickr8ks_lists(tmp_path: Path) -> None:
    """A list may be missing, and other files lie beside them."""
    captions = written(tmp_path, "Flickr8k.token.txt", TOKENS + "new.jpg#0\tA new one .\n")
    written(tmp_path, "Flickr_8k.trainImages.txt", "sea.jpg\r\n\r\nuncaptioned.jpg\r\n")
    written(tmp_path, "Flickr_8k.devImages.txt", "dog.jpg\n")
    written(tmp_path, "ExpertAnnotations.txt", "dog.jpg\tsea.jpg#0\t1\n")
    images = read(captions, splits=str(tmp_path))
    splits = {id: image.split for id, image in images.items()}
    assert splits == {"dog.jpg": "dev", "sea.jpg": "train", "new.jpg": ""}


@pytest.mark.parametrize("development", ["dev.txt", "val.txt", "flickr30k_val.txt"])
def test_plain_lists(tmp_path: Path, development: str) -> None:
    written(tmp_path, development, "dog.jpg\n")
    written(tmp_path, "test.txt", "sea.jpg")
    images = read(written(tmp_path, "captions", TOKENS), splits=str(tmp_path))
    assert (images["dog.jpg"].split, images["sea.jpg"].split) == ("dev", "test")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("splits.json", {"train": ["sea.jpg"], "val": ["dog.jpg"]}),
        ("splits.json", {"sea.jpg": "train", "dog.jpg": "dev", "in none": ""}),
        ("splits.csv", "image,split\nsea.jpg,train\ndog.jpg,validation\nin none,\n"),
        ("splits.csv", "id\tsplit\nsea.jpg\tTraining\ndog.jpg\tDEV\n"),
        (
            "dataset.json",
            {"images": [{"filename": "sea.jpg", "split": "restval"},
                        {"filename": "dog.jpg", "split": "val"}]},
        ),
    ],
)  # fmt: skip
def test_splits_in_one_file(tmp_path: Path, name: str, content: object) -> None:
    images = read(written(tmp_path, "captions", TOKENS), splits=written(tmp_path, name, content))
    assert (images["sea.jpg"].split, images["dog.jpg"].split) == ("train", "dev")


def test_splits_given_win_over_those_in_the_captions(tmp_path: Path) -> None:
    captions = written(tmp_path, "c.csv", "image,caption,split\ndog.jpg,a dog,train\n")
    splits = written(tmp_path, "s.csv", "image,split\ndog.jpg,test\n")
    assert read(captions, splits=splits)["dog.jpg"].split == "test"


@pytest.mark.parametrize("content", [{"train": 3}, {"train": [3]}, {"images": [{}]}, {"a": None}])
def test_splits_of_another_shape(tmp_path: Path, content: object) -> None:
    splits = written(tmp_path, "s.json", content)
    assert splits in complaint(written(tmp_path, "c", TOKENS), splits=splits)


def test_an_empty_file_of_splits(tmp_path: Path) -> None:
    splits = written(tmp_path, "s.csv", "")
    assert f"{splits}, line 1" in complaint(written(tmp_path, "c", TOKENS), splits=splits)


def test_a_directory_without_lists(tmp_path: Path) -> None:
    message = complaint(written(tmp_path, "c", TOKENS), splits=str(tmp_path))
    assert "Flickr_8k.trainImages.txt" in message


def test_an_unknown_split(tmp_path: Path) -> None:
    splits = written(tmp_path, "s.json", {"holdout": ["dog.jpg"]})
    assert "'holdout'" in complaint(written(tmp_path, "c", TOKENS), splits=splits)


def test_splits_of_other_images(tmp_path: Path) -> None:
    splits = written(tmp_path, "s.json", {"train": ["dog"]})
    message = complaint(written(tmp_path, "c", TOKENS), splits=splits)
    assert "dog and dog.jpg" in message


def test_an_image_in_two_splits_is_held_out(tmp_path: Path) -> None:
    splits = written(tmp_path, "s.json", {"test": ["dog.jpg"], "train": ["dog.jpg", "sea.jpg"]})
    images = read(written(tmp_path, "c", TOKENS), splits=splits)
    assert (images["dog.jpg"].split, images["dog.jpg"].other_splits) == ("test", ("train",))
    assert images["sea.jpg"].other_splits == ()


def test_without_splits_the_id_decides(tmp_path: Path) -> None:
    ids = [f"{n}.jpg" for n in range(4000)]
    captions = written(tmp_path, "c", "".join(f"{id}#0\ta dog\n" for id in ids))
    images = read(captions)
    assert all(image.split == corpora.split_of(id) for id, image in images.items())
    shares = Counter(image.split for image in images.values())
    assert 0.88 < shares["train"] / 4000 < 0.92
    assert 0.04 < shares["dev"] / 4000 < 0.06
    assert 0.04 < shares["test"] / 4000 < 0.06


@given(st.text(min_size=1))
def test_the_split_depends_on_the_name_not_on_how_it_is_composed(id: str) -> None:
    assert corpora.split_of(id) in corpora.SPLITS
    assert corpora.split_of(id) == corpora.split_of(unicodedata.normalize("NFD", id))


def test_the_split_of_an_id_never_changes() -> None:
    """Were it to change, images once trained on would be scored on."""
    found = {id: corpora.split_of(id) for id in ("a.jpg", "b.jpg", "x.jpg")}
    assert found == {"a.jpg": "train", "b.jpg": "dev", "x.jpg": "test"}


# The report


def image(id: str, *captions: str, split: str = "train", also: tuple[str, ...] = ()) -> object:
    return CaptionedImage(id, captions or ("a dog",), split, also)


def test_the_report_finds_what_is_amiss() -> None:
    corpus = [
        image("1.jpg", "a dog", "...", "word " * 51),
        image("2.jpg", split="test", also=("train",)),
        image("2258277193_586949ec62.jpg.1"),
        image("3.jpg", "word " * 50, split=""),
    ]
    found = corpora.report(["1.jpg", "2.jpg", "3.jpg", "stray.jpg"], corpus)
    assert (found.images, found.captions) == (3, 5)
    assert found.splits == {"train": 1, "test": 1, "": 1}
    assert {what: (f.count, f.examples) for what, f in found.findings.items()} == {
        "images without captions": (1, ("stray.jpg",)),
        "captions without an image": (1, ("2258277193_586949ec62.jpg.1",)),
        "captions without a word": (1, ("1.jpg#1",)),
        "captions of more than 50 words": (1, ("1.jpg#2",)),
        "images in two splits": (1, ("2.jpg",)),
    }


def test_the_report_as_text() -> None:
    ids = [f"{n:04}.jpg" for n in range(1200)]
    report = corpora.report(ids, [image(id) for id in ids[:-5]])
    assert str(report) == (
        "1,195 images with 1,195 captions: train 1,195\n"
        "  images without captions: 5 (1195.jpg, 1196.jpg, 1197.jpg, ...)"
    )


def test_a_report_of_nothing_amiss_is_one_line() -> None:
    report = corpora.report(["1.jpg"], [image("1.jpg", split="dev")])
    assert str(report) == "1 image with 1 caption: dev 1"


# Descriptions


def test_descriptions(tmp_path: Path) -> None:
    corpus = [image("a/dog.v2.jpg", *DOG), image("sea.jpg", *SEA)]
    corpora.write_descriptions(corpus, str(tmp_path / "descriptions.txt"))
    assert (tmp_path / "descriptions.txt").read_text() == (
        "a/dog.v2 a black dog running\n"
        "a/dog.v2 the dog tricolored coat\n"
        "sea two people at the sea\n"
    )


# The real collection


@pytest.mark.slow
@pytest.mark.skipif(not FLICKR8K.is_dir(), reason="Flickr8k isn't here")
def test_the_real_flickr8k() -> None:
    images = read(str(FLICKR8K / "Flickr8k.token.txt"), splits=str(FLICKR8K))
    report = corpora.report(os.listdir(FLICKR8K / "images"), images.values())
    assert report.splits == {"train": 6000, "dev": 1000}
    assert report.captions == 35_000
    assert not report.findings
