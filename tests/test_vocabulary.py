import pytest
from hypothesis import given
from hypothesis import strategies as st

from captioner import corpora
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
    assert len(words) == len(corpora.words(text))
    assert all(UNKNOWN <= word < len(VOCABULARY) for word in words)


MANY = (
    *(("A dog.", "en"), ("A dog", "en"), ("Le chien de l'homme", "fr"), ("一只狗在草地上。", "zh")),
    *(("สุนัขวิ่งบนชายหาด", "th"), ("개 한 마리", "ko"), ("ក្រហម cafe\u0301", "")),
)
MANY_WORDS = sorted({word for told in MANY for word in corpora.words(*told)})
MULTILINGUAL = Vocabulary.build((text for text, _ in MANY), 1, (tag for _, tag in MANY))


@given(
    st.lists(st.tuples(st.sampled_from(MANY_WORDS), st.text(" \t\n.,!?;。、", max_size=2))),
    st.sampled_from(MULTILINGUAL.languages[1:]),
)
def test_decoding_gives_the_canonical_form_of_known_words_back(words, language):
    caption = "".join(f"{word} {noise}" for word, noise in words)
    decoded = MULTILINGUAL.decode(MULTILINGUAL.encode(caption, language))
    assert decoded == corpora.join(word for word, _ in words) == corpora.clean(caption, language)


def test_a_caption_begins_with_its_language():
    assert MULTILINGUAL.languages == ("en", "fr", "ko", "th", "zh")
    starts = [MULTILINGUAL.start(language) for language in ("", *MULTILINGUAL.languages)]
    assert len(set(starts)) == 6 and starts[0] == START
    for language in ("", *MULTILINGUAL.languages):
        start, *words, _ = MULTILINGUAL.encode("a dog", language)
        assert start == MULTILINGUAL.start(language)
        assert MULTILINGUAL.decode([start, *words]) == "a dog"
    assert MULTILINGUAL.encode("a dog", "de")[0] == START


def test_a_language_that_no_caption_is_in_is_a_users_mistake():
    with pytest.raises(UserError, match="no language 'de': en, fr, ko, th, zh"):
        MULTILINGUAL.start("de")
    with pytest.raises(UserError, match="no language 'de': there are none"):
        VOCABULARY.start("de")


def test_every_caption_comes_back_as_its_words():
    texts = [MULTILINGUAL.decode(MULTILINGUAL.encode(*told)) for told in MANY]
    assert texts == [
        *("a dog", "a dog", "le chien de l'homme", "一只狗在草地上"),
        *("สุนัขวิ่งบนชายหาด", "개 한 마리", "ក្រហម café"),
    ]


def test_decoding_stops_at_the_end_and_drops_what_is_no_word():
    dog, cat = VOCABULARY.encode("dog cat")[1:-1]
    assert VOCABULARY.decode([START, dog, UNKNOWN, PADDING, cat, END, dog]) == "dog cat"


def test_with_other_languages_it_is_another():
    found = {Vocabulary(["a"], tags).fingerprint for tags in ((), ("de",), ("en",), ("de", "en"))}
    assert len(found) == 4


def test_saved_and_loaded_it_knows_the_same_languages(tmp_path):
    MULTILINGUAL.save(f"{tmp_path}/vocabulary.json")
    loaded = Vocabulary.load(f"{tmp_path}/vocabulary.json")
    assert loaded.languages == MULTILINGUAL.languages
    assert loaded.encode("一只狗", "zh") == MULTILINGUAL.encode("一只狗", "zh")
    assert loaded.fingerprint == MULTILINGUAL.fingerprint


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
