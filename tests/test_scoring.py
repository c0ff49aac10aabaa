"""Figures worked out by hand, and those of the COCO evaluation code where it is installed."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captioner import scoring

WORDS = st.sampled_from(["a", "dog", "runs", "on", "the", "sand", "and", "two"])
CAPTION = st.lists(WORDS, min_size=1, max_size=12)
CORPUS = st.lists(
    st.tuples(CAPTION, st.lists(CAPTION, min_size=1, max_size=5)), min_size=1, max_size=6
)


def words(text: str) -> list[str]:
    return text.split()


def test_an_exact_caption_scores_one() -> None:
    caption = words("a dog runs on the sand")
    assert scoring.bleu([caption], [[words("two dogs"), caption]]) == (1.0, 1.0, 1.0, 1.0)


def test_words_count_at_most_as_often_as_in_one_reference() -> None:
    """The example of the paper: "the" is twice in the first reference."""
    candidate = words("the the the the the the the")
    group = [words("the cat is on the mat"), words("there is a cat on the mat")]
    assert scoring.bleu([candidate], [group]) == pytest.approx((2 / 7, 0, 0, 0))


def test_by_hand() -> None:
    """5 of 6 words, 3 of 5 pairs, 1 of 4 triples, no four; as long as the reference."""
    candidate, reference = words("the cat sat on the mat"), words("the cat is on the mat")
    expected = (5 / 6, math.sqrt(5 / 6 * 3 / 5), (5 / 6 * 3 / 5 * 1 / 4) ** (1 / 3), 0)
    assert scoring.bleu([candidate], [[reference]]) == pytest.approx(expected)


def test_short_captions_are_penalised() -> None:
    one, *_ = scoring.bleu([words("a dog")], [[words("a dog runs here")]])
    assert one == pytest.approx(math.exp(1 - 4 / 2))


def test_the_shorter_of_two_references_as_close_counts() -> None:
    group = [words("a dog runs on sand"), words("a dog runs")]
    one, *_ = scoring.bleu([words("a dog runs on")], [group])
    assert one == 1.0


def test_counts_are_summed_over_the_corpus() -> None:
    """Not the mean of the images' own scores, which would be 0.75."""
    one, *_ = scoring.bleu(
        [words("a dog runs on the sand"), words("x y")],
        [[words("a dog runs on the sand")], [words("x z")]],
    )
    assert one == pytest.approx(7 / 8)


@pytest.mark.parametrize("candidates", [[], [[]], [["a"]]])
def test_captions_too_short_to_score(candidates: list[list[str]]) -> None:
    assert scoring.bleu(candidates, [[["a", "dog"]]] * len(candidates))[1:] == (0, 0, 0)


def test_every_candidate_needs_references() -> None:
    with pytest.raises(ValueError, match="no reference"):
        scoring.bleu([["a"]], [[]])
    with pytest.raises(ValueError, match="zip"):
        scoring.bleu([["a"]], [])


@given(CORPUS)
def test_bleu_is_between_0_and_1_and_falls_with_the_order_of_a_perfect_match(corpus) -> None:
    candidates, references = zip(*corpus, strict=True)
    assert all(0 <= score <= 1 for score in scoring.bleu(candidates, references))
    with_itself = [[*group, candidate] for candidate, group in corpus]
    longest = max(map(len, candidates))
    assert scoring.bleu(candidates, with_itself)[: min(longest, 4)] == (1.0,) * min(longest, 4)


def coco_bleu(candidates: list[list[str]], references: list[list[list[str]]]) -> list[float]:
    coco = pytest.importorskip("pycocoevalcap.bleu.bleu_scorer")
    scorer = coco.BleuScorer(n=4)
    for candidate, group in zip(candidates, references, strict=True):
        scorer += (" ".join(candidate), [" ".join(reference) for reference in group])
    return scorer.compute_score(option="closest", verbose=0)[0]


@given(CORPUS)
def test_bleu_is_that_of_the_coco_evaluation(corpus) -> None:
    """Wherever anything matches: in place of a zero that code has a tiny figure of its own."""
    matching = words("a man walks home")
    corpus = [*corpus, (matching, [matching])]
    candidates, references = zip(*corpus, strict=True)
    expected = coco_bleu(candidates, references)
    assert scoring.bleu(candidates, references) == pytest.approx(expected, abs=1e-4)


def test_bleu_of_a_large_corpus_is_that_of_the_coco_evaluation() -> None:
    vocabulary = [f"word{n}" for n in range(40)]
    draw = random.Random(5)
    captions = [draw.choices(vocabulary, range(40), k=draw.randint(6, 14)) for _ in range(6000)]
    candidates, references = captions[:1000], [captions[1000 + 5 * n :][:5] for n in range(1000)]
    found = scoring.bleu(candidates, references)
    assert 0.005 < found[3] < found[0] < 1
    assert found == pytest.approx(coco_bleu(candidates, references), abs=1e-6)


def test_how_varied_captions_are() -> None:
    captions = [words("a dog runs"), words("a dog"), words("a dog runs"), words("sand")]
    assert scoring.vocabulary_used(captions) == 4
    assert scoring.mean_length(captions) == 9 / 4
    assert scoring.distinct(captions) == 3 / 4


def test_no_captions_at_all() -> None:
    assert scoring.vocabulary_used([]) == 0
    assert scoring.mean_length([]) == 0
    assert scoring.distinct([]) == 0
