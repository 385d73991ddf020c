from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from training.fit.choice import USUAL_SHARE, Evidence, choose
from training.fit.history import GuardScores
from training.stats.fold_comparison import balanced_mean, compare_folds
from training.stats.folds import OutOfFold
from training.stats.scores import log_losses


def answers(labels: np.ndarray, wrong: list[int], scale: float = 1.0) -> np.ndarray:
    logits = scale * np.eye(int(labels.max()) + 1, dtype=np.float32)[labels]
    logits[wrong] = np.roll(logits[wrong], 1, axis=1)
    return logits.astype(np.float32)


LABELS = np.arange(40) % 2
ALONE = np.arange(40).astype(str)


def test_the_differences_and_their_errors_are_those_of_paired_answers():
    head, both = answers(LABELS, [0, 1, 2, 3, 4, 5]), answers(LABELS, [0, 6])
    done = compare_folds(head, both, LABELS, ALONE)
    gains = np.zeros(40)
    gains[[1, 2, 3, 4, 5]], gains[6] = 1, -1
    assert (done.head, done.finetuned, done.n) == (pytest.approx(0.85), pytest.approx(0.95), 40)
    assert done.difference == pytest.approx(gains.mean())
    spreads = [gains[label == LABELS].std(ddof=1) for label in (0, 1)]
    assert done.standard_error == pytest.approx(np.hypot(*spreads) / 2 / np.sqrt(20))
    losses = log_losses(both, LABELS) - log_losses(head, LABELS)
    assert done.loss_difference == pytest.approx(losses.mean())
    assert done.loss_standard_error == pytest.approx(losses.std(ddof=1) / np.sqrt(40))
    assert done.passes


@pytest.mark.parametrize("counts", [(60, 60, 60), (10, 30, 80), (6, 6, 6)])
@pytest.mark.parametrize("copies", [1, 2])
def test_the_standard_error_is_the_spread_of_means_over_many_samples(counts, copies):
    rng = np.random.default_rng(1)
    labels = np.repeat(np.arange(3), counts)
    group = np.arange(len(labels)) // copies
    recall = np.array([0.95, 0.5, 0.2])[labels]
    found = [
        balanced_mean((rng.random(len(labels))[group] < recall).astype(float), labels, group.astype(str))
        for _ in range(500)
    ]
    means, errors = np.array(found).T
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(means.std(), rel=0.12)


@pytest.mark.parametrize(("fixed", "broken", "passes"), [(0, 0, True), (1, 5, True), (0, 8, False), (5, 1, True)])
def test_only_a_loss_of_more_than_two_standard_errors_fails(fixed, broken, passes):
    head = answers(LABELS, list(range(6)))
    both = answers(LABELS, [*range(fixed, 6), *range(10, 10 + broken)])
    assert compare_folds(head, both, LABELS, ALONE).passes is passes


def test_right_answers_of_too_much_confidence_fail_by_their_log_loss():
    head = answers(LABELS, [0, 1, 2, 3], scale=2)
    assert not compare_folds(head, answers(LABELS, [0, 1, 2, 3], scale=40), LABELS, ALONE).passes
    assert compare_folds(head, answers(LABELS, [0, 1, 2, 3], scale=2.5), LABELS, ALONE).passes


def test_pictures_of_a_single_group_count_each_for_itself_so_that_harm_is_seen():
    """One photographer in the held-out fold: with an infinite error anything would pass for not worse."""
    head, both, one = answers(LABELS, [0, 1]), answers(LABELS, list(range(12))), np.full(40, "Ada")
    found = compare_folds(head, both, LABELS, one)
    assert found == compare_folds(head, both, LABELS, ALONE)
    assert not found.passes


def test_a_loss_on_one_group_of_copies_counts_once():
    head, both = answers(LABELS, []), answers(LABELS, list(range(8)))
    together = ALONE.copy()
    together[:8] = "copies"
    alone, copies = compare_folds(head, both, LABELS, ALONE), compare_folds(head, both, LABELS, together)
    assert alone.difference == copies.difference
    assert copies.standard_error > 2 * alone.standard_error
    assert copies.loss_standard_error > 2 * alone.loss_standard_error


def test_classes_count_the_same_whatever_their_size():
    labels = np.array([0] * 30 + [1] * 10)
    done = compare_folds(answers(labels, [0]), answers(labels, [30]), labels, np.arange(40).astype(str))
    assert done.difference == pytest.approx((1 / 30 - 1 / 10) / 2)


def evidence(tuned: np.ndarray, known: np.ndarray) -> Evidence:
    head = OutOfFold(tuple(ALONE), LABELS, answers(LABELS, [0, 1, 2]), np.arange(40) % 4)
    return Evidence(head, answers(LABELS, [0, 1, 2, 3]), ALONE, tuned, known)


def test_what_ships_is_the_average_of_both_and_so_are_its_held_out_answers():
    known = np.arange(40) % 4 < 2
    tuned = np.where(known[:, None], answers(LABELS, [0], scale=3), 99).astype(np.float32)
    choice = choose(evidence(tuned, known), guard=True)
    assert choice.chosen == "finetuned"
    assert choice.out_of_fold.sha256 == tuple(ALONE[known])
    assert set(choice.out_of_fold.fold) == {0, 1}
    head, given = answers(LABELS, [0, 1, 2])[known], choice.out_of_fold.logits
    shares = (given - head)[:, 0] / np.where((tuned[known] - head)[:, 0], (tuned[known] - head)[:, 0], np.nan)
    assert np.nanmin(shares) == pytest.approx(USUAL_SHARE, abs=0.2)
    assert np.nanmax(shares) == pytest.approx(USUAL_SHARE, abs=0.2)
    assert choice.share == pytest.approx(USUAL_SHARE, abs=0.2)
    names = ["head on the last stage", "linear head", "fine-tuned copy", "head and copy averaged"]
    assert [(part.name, part.n) for part in choice.parts] == [(name, 20) for name in names]
    assert choice.parts[2].balanced_accuracy == pytest.approx(0.95)
    assert choice.comparison.n == 20


def test_a_copy_that_harms_is_left_out_unless_it_ships_unjudged():
    known, tuned = np.ones(40, bool), answers(LABELS, list(range(10, 24)), scale=9)
    judged, unjudged = (choose(evidence(tuned, known), guard) for guard in (True, False))
    assert (judged.chosen, unjudged.chosen) == ("head", "finetuned")
    assert "worse by more than two standard errors" in judged.why
    assert "train.guard = false" in unjudged.why
    assert len(judged.out_of_fold.sha256) == 40
    assert judged.out_of_fold.balanced_accuracy == pytest.approx(0.925)


def test_without_a_copy_the_head_ships_for_the_reason_that_is_given():
    head = evidence(answers(LABELS, []), np.ones(40, bool)).head
    choice = choose(Evidence(head, head.logits, ALONE, not_tuned="the regime is frozen"), guard=True)
    assert (choice.chosen, choice.why, choice.comparison) == ("head", "the regime is frozen", None)
    assert [part.n for part in choice.parts] == [40, 40]


def test_history_reads_every_field_of_a_comparison():
    compared = compare_folds(answers(LABELS, [0]), answers(LABELS, [1]), LABELS, ALONE)
    values = GuardScores.of(compared).model_dump()
    assert set(values) == set(GuardScores.model_fields)
    assert values == {**asdict(compared), "passes": compared.passes}
