"""Figures worked out by hand, and those of the COCO evaluation code where it is installed."""

from __future__ import annotations

import math
import os
import random
import shutil
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from captioner import corpora, scoring
from captioner.scoring import BleuCounts, CiderD, DocumentFrequencies
from tests.compared import scene_captions

DATA = Path(os.environ.get("CAPTIONER_DATA", Path(__file__).parents[2] / "shared/data"))
Corpus = tuple[list[list[str]], list[list[list[str]]]]

WORDS = st.sampled_from(["a", "dog", "runs", "on", "the", "sand", "and", "two"])
CAPTION = st.lists(WORDS, min_size=1, max_size=12)
GROUP = st.lists(CAPTION, min_size=1, max_size=5)
CORPUS = st.lists(st.tuples(CAPTION, GROUP), min_size=1, max_size=6)
# Captions without a word too, as those of images that failed are.
ANY_CORPUS = st.lists(st.tuples(st.just([]) | CAPTION, GROUP), min_size=1, max_size=6)


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


@settings(deadline=None)
@given(CORPUS)
def test_bleu_is_between_0_and_1_and_falls_with_the_order_of_a_perfect_match(corpus) -> None:
    candidates, references = zip(*corpus, strict=True)
    assert all(0 <= score <= 1 for score in scoring.bleu(candidates, references))
    with_itself = [[*group, candidate] for candidate, group in corpus]
    longest = max(map(len, candidates))
    assert scoring.bleu(candidates, with_itself)[: min(longest, 4)] == (1.0,) * min(longest, 4)


def as_coco(corpus: Corpus) -> tuple[dict[int, list[str]], dict[int, list[str]]]:
    """References and candidates as the COCO evaluation takes them."""
    candidates, references = corpus
    joined = [[" ".join(words) for words in group] for group in references]
    return dict(enumerate(joined)), {n: [" ".join(words)] for n, words in enumerate(candidates)}


def coco_bleu(candidates: list[list[str]], references: list[list[list[str]]]) -> list[float]:
    coco = pytest.importorskip("pycocoevalcap.bleu.bleu")
    return coco.Bleu(4).compute_score(*as_coco((candidates, references)), verbose=0)[0]


def coco_rouge_l(candidates: list[list[str]], references: list[list[list[str]]]) -> float:
    coco = pytest.importorskip("pycocoevalcap.rouge.rouge")
    return coco.Rouge().compute_score(*as_coco((candidates, references)))[0]


def coco_cider_d(candidates: list[list[str]], references: list[list[list[str]]]) -> float:
    coco = pytest.importorskip("pycocoevalcap.cider.cider")
    return coco.Cider().compute_score(*as_coco((candidates, references)))[0]


@settings(deadline=None)
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


def test_bleu_counts_of_parts_add_up() -> None:
    (candidates, references), half = leave_one_out(scene_captions(20)), 7
    counts = list(map(BleuCounts.of, candidates, references))
    parts = sum(counts[:half], BleuCounts()) + sum(counts[half:], BleuCounts())
    assert parts.scores() == scoring.bleu(candidates, references)


def test_rouge_l_by_hand() -> None:
    """In common are "police the gunman", 3 of 4 words and 3 of 5; then 2 of 2 of another's 4."""
    candidate, reference = words("police ended the gunman"), words("police killed the gunman today")
    by_hand = (1 + 1.44) * 0.75 * 0.6 / (0.6 + 1.44 * 0.75)
    assert scoring.rouge_l_of(candidate, [reference]) == pytest.approx(by_hand)
    assert scoring.rouge_l([candidate, ["a"]], [[reference], [["b"]]]) == pytest.approx(by_hand / 2)


def test_rouge_l_takes_precision_and_recall_from_different_references() -> None:
    """Precision 2/2 of the first, recall 1/1 of the second."""
    group = [words("a black dog"), words("dog")]
    assert scoring.rouge_l_of(words("a dog"), group) == 1.0


@settings(deadline=None)
@given(ANY_CORPUS)
def test_rouge_l_is_that_of_the_coco_evaluation(corpus) -> None:
    candidates, references = zip(*corpus, strict=True)
    expected = coco_rouge_l(candidates, references)
    assert scoring.rouge_l(candidates, references) == pytest.approx(expected, abs=1e-9)


@settings(deadline=None)
@given(CAPTION, GROUP)
def test_rouge_l_is_1_for_a_reference_and_depends_on_no_order_of_them(caption, group) -> None:
    score = scoring.rouge_l_of(caption, group)
    assert 0 <= score <= scoring.rouge_l_of(caption, [*group, caption]) == pytest.approx(1)
    assert scoring.rouge_l_of(caption, group[::-1]) == score


def test_cider_d_by_hand() -> None:
    """Two documents: each n-gram weighs log 2. There are cosines of one and of two words only."""
    references = [[words("a dog")], [words("two cats")]]
    assert scoring.cider_d([words("a dog"), []], references) == pytest.approx(10 * (2 / 4) / 2)
    shorter = 10 / 4 * math.sqrt(1 / 2) * math.exp(-1 / 72)
    assert scoring.cider_d([["dog"], []], references) == pytest.approx(shorter / 2)
    repeated = 10 / 4 / (2 * math.sqrt(2))
    assert scoring.cider_d([words("dog dog"), []], references) == pytest.approx(repeated / 2)


def test_cider_d_of_a_single_image_is_0() -> None:
    """Its n-grams are in all documents, and so say nothing."""
    caption = words("a dog runs on the sand")
    assert scoring.cider_d([caption], [[caption]]) == 0


@settings(deadline=None)
@given(ANY_CORPUS)
def test_cider_d_is_that_of_the_coco_evaluation(corpus) -> None:
    candidates, references = zip(*corpus, strict=True)
    expected = coco_cider_d(candidates, references)
    assert scoring.cider_d(candidates, references) == pytest.approx(expected, abs=1e-9)


@settings(deadline=None)
@given(ANY_CORPUS)
def test_cider_d_is_the_mean_of_what_prepared_references_give(corpus) -> None:
    """Whatever the words are, and however often the references are used."""
    candidates, references = zip(*corpus, strict=True)
    ids = defaultdict(lambda: len(ids))
    groups = [[[ids[word] for word in words] for words in group] for group in references]
    scorer = CiderD(DocumentFrequencies.of(groups))
    prepared = list(map(scorer.references, groups))
    for _ in range(2):
        scores = [
            scorer.score([ids[word] for word in words], group)
            for words, group in zip(candidates, prepared, strict=True)
        ]
        assert all(0 <= score <= 10 + 1e-9 for score in scores)
        mean = sum(scores) / len(scores)
        assert scoring.cider_d(candidates, references) == pytest.approx(mean, abs=1e-9)


@settings(deadline=None)
@given(st.lists(GROUP, max_size=4), st.lists(GROUP, max_size=4))
def test_document_frequencies_of_parts_add_up(one, other) -> None:
    parts = DocumentFrequencies.of(one) + DocumentFrequencies.of(other)
    assert parts == DocumentFrequencies.of(one + other)


def test_a_document_counts_once_whatever_its_references_repeat() -> None:
    frequencies = DocumentFrequencies.of([[["dog", "dog"], ["dog"]], [["cat"]]])
    assert frequencies.documents == 2
    assert frequencies.counts == {("dog",): 1, ("dog", "dog"): 1, ("cat",): 1}


def leave_one_out(groups: list[list[list[str]]]) -> Corpus:
    """One caption of each image, which of them changes, and the others."""
    chosen = [number % len(group) for number, group in enumerate(groups)]
    candidates = [group[n] for n, group in zip(chosen, groups, strict=True)]
    others = [group[:n] + group[n + 1 :] for n, group in zip(chosen, groups, strict=True)]
    return candidates, others


def drawn() -> list[list[list[str]]]:
    return [[corpora.words(text) for text in texts] for texts in scene_captions(300)]


def photographed() -> list[list[list[str]]]:
    file = DATA / "flickr8k/Flickr8k.token.txt"
    if not file.exists():
        pytest.skip(f"needs Flickr8k's captions in {file}")
    images = sorted(corpora.read(str(file)), key=lambda image: image.id)[:300]
    return [[corpora.words(text) for text in image.captions] for image in images]


@pytest.mark.parametrize("collection", [drawn, photographed])
def test_people_against_each_other_score_as_in_the_coco_evaluation(collection) -> None:
    corpus = leave_one_out(collection())
    assert scoring.bleu(*corpus) == pytest.approx(coco_bleu(*corpus), abs=1e-4)
    assert scoring.rouge_l(*corpus) == pytest.approx(coco_rouge_l(*corpus), abs=1e-4)
    assert scoring.cider_d(*corpus) == pytest.approx(coco_cider_d(*corpus), abs=1e-4)
    assert scoring.bleu(*corpus)[3] > 0.05 and scoring.cider_d(*corpus) > 0.5


@pytest.mark.parametrize("score", [scoring.rouge_l, scoring.cider_d])
def test_every_score_needs_references_for_every_candidate(score) -> None:
    with pytest.raises(ValueError, match="no reference"):
        score([["a"]], [[]])
    with pytest.raises(ValueError, match="zip"):
        score([["a"]], [])
    assert score([], []) == 0
    assert score([[]], [[[]]]) == 0


def test_meteor_is_none_without_java(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert scoring.meteor([["a"]], [[["a"]]]) is None


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_meteor_is_none_where_java_does_not_run(monkeypatch, tmp_path) -> None:
    """As on a Mac without Java, whose `java` only says so."""
    pytest.importorskip("pycocoevalcap.meteor.meteor")
    (tmp_path / "java").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "java").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert scoring.meteor([["a"]], [[["a"]]]) is None


@pytest.mark.slow
def test_meteor_knows_stems_and_counts_recall_more() -> None:
    pytest.importorskip("pycocoevalcap.meteor.meteor")
    if not shutil.which("java"):
        pytest.skip("needs Java")
    short, long = words("a dog runs"), words("a dog runs on the wide sand")
    precise, complete = scoring.meteor([short], [[long]]), scoring.meteor([long], [[short]])
    assert 0 < precise < complete < 1
    nothing, stem = [], words("a dog running")
    assert scoring.meteor([nothing, stem], [[long], [short]]) > 0.2


def test_how_varied_captions_are() -> None:
    captions = [words("a dog runs"), words("a dog"), words("a dog runs"), words("sand")]
    assert scoring.vocabulary_used(captions) == 4
    assert scoring.mean_length(captions) == 9 / 4
    assert scoring.distinct(captions) == 3 / 4
    assert scoring.copied(captions, [words("a dog runs"), words("a dog sleeps")]) == 2 / 4


def test_no_captions_at_all() -> None:
    assert scoring.vocabulary_used([]) == 0
    assert scoring.mean_length([]) == 0
    assert scoring.distinct([]) == 0
    assert scoring.copied([], [["a"]]) == 0
