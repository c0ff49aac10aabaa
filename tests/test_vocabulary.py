import pytest
from hypothesis import given
from hypothesis import strategies as st

from captioner.corpora import clean
from captioner.errors import UserError
from captioner.vocabulary import END, PADDING, START, UNKNOWN, Vocabulary

CAPTIONS = ("A dog and a cat.", "A cat and a dog!", "The dog runs", "one bird")
VOCABULARY = Vocabulary.build(CAPTIONS, min_count=2)


def test_words_are_numbered_by_frequency_then_alphabet():
    words = [VOCABULARY.decode([id]) for id in range(UNKNOWN + 1, len(VOCABULARY))]
    assert words == ["a", "dog", "and", "cat"]


def test_rare_words_are_unknown():
    assert VOCABULARY.encode("one dog")[1] == UNKNOWN
    assert Vocabulary.build(CAPTIONS, min_count=1).encode("one dog")[1] != UNKNOWN


@given(st.text())
def test_any_text_is_encoded(text):
    start, *words, end = VOCABULARY.encode(text)
    assert (start, end) == (START, END)
    assert len(words) == len(clean(text).split())
    assert all(UNKNOWN <= word < len(VOCABULARY) for word in words)


@given(st.lists(st.sampled_from(("dog", "cat", "and"))))
def test_decoding_gives_the_caption_back(words):
    caption = " ".join(words)
    assert VOCABULARY.decode(VOCABULARY.encode(caption)) == caption


def test_decoding_stops_at_the_end_and_drops_what_is_no_word():
    dog, cat = VOCABULARY.encode("dog cat")[1:-1]
    assert VOCABULARY.decode([START, dog, UNKNOWN, PADDING, cat, END, dog]) == "dog cat"


def test_saved_and_loaded_it_is_the_same(tmp_path):
    file = f"{tmp_path}/vocabulary.json"
    VOCABULARY.save(file)
    loaded = Vocabulary.load(file)
    assert loaded.encode("a cat runs") == VOCABULARY.encode("a cat runs")
    assert (len(loaded), loaded.fingerprint) == (len(VOCABULARY), VOCABULARY.fingerprint)
    assert loaded.fingerprint != Vocabulary.build(CAPTIONS, min_count=1).fingerprint


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}', '{"format": 2, "words": []}'])
def test_what_is_no_vocabulary_is_a_users_mistake(tmp_path, text):
    (tmp_path / "vocabulary.json").write_text(text)
    with pytest.raises(UserError, match="vocabulary.json"):
        Vocabulary.load(f"{tmp_path}/vocabulary.json")


def test_a_missing_vocabulary_is_a_users_mistake(tmp_path):
    with pytest.raises(UserError, match="missing"):
        Vocabulary.load(f"{tmp_path}/vocabulary.json")
