from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from training.fit.head import STRENGTHS, cross_validate, fit_head
from training.stats.folds import grouped_folds
from training.stats.scores import balanced_accuracy, class_weights, log_loss, softmax


def cloud(counts: list[int], dim: int = 40, gap: float = 0.8, seed: int = 0):
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts).astype(np.int64)
    centres = rng.normal(0, gap, (len(counts), dim))
    features = centres[labels] + rng.normal(0, 1, (len(labels), dim))
    features = (features * rng.uniform(0.05, 9, dim) + rng.normal(0, 5, dim)).astype(np.float32)
    return features, labels, np.array([str(place) for place in range(len(labels))])


def scaled(features, learnt):
    """Centred, and divided by the deviation among what was learnt from and half of the mean deviation, in squares."""
    features, learnt = features.astype(np.float64), learnt.astype(np.float64)
    deviations = learnt.std(axis=0)
    return (features - learnt.mean(axis=0)) / np.sqrt(deviations**2 + (deviations.mean() / 2) ** 2)


@pytest.mark.parametrize("counts", [[30, 31, 29], [20, 22], [60, 20, 15]], ids=["three", "two", "unbalanced"])
@pytest.mark.parametrize("dim", [40, 300], ids=["more pictures", "more features"])
def test_the_folded_layer_gives_scikit_learns_probabilities(counts, dim):
    both, twice, _ = cloud([2 * count for count in counts], dim)
    features, labels, fresh = both[::2], twice[::2], both[1::2]
    head = fit_head(features, labels, len(counts), 0.1)
    weights = dict(enumerate(class_weights(labels, len(counts))))
    own = LogisticRegression(C=0.1, class_weight=weights, solver="newton-cholesky", tol=1e-10)
    own.fit(scaled(features, features), labels)
    expected = own.predict_proba(scaled(fresh, features))
    with torch.inference_mode():
        folded = head.layer()(torch.from_numpy(fresh)).softmax(1).numpy()
    assert np.abs(folded - expected).max() < 1e-4
    assert np.abs(head.probabilities(fresh) - folded).max() < 1e-5


def chosen(features, labels, groups) -> float:
    fold = grouped_folds(labels, groups, seed=0)
    strength = cross_validate(features, labels, fold, int(labels.max()) + 1).strength
    assert strength in STRENGTHS
    return strength


def test_noise_is_regularised_more_than_signal():
    signal, labels, groups = cloud([40, 40, 40], gap=1.5)
    noise = np.random.default_rng(3).normal(0, 1, signal.shape).astype(np.float32)
    assert chosen(noise, labels, groups) < chosen(signal, labels, groups)


def test_copies_in_one_group_do_not_make_noise_look_learnable():
    noise = np.random.default_rng(4).normal(0, 1, (24, 60)).astype(np.float32)
    labels = np.arange(24) % 2
    features, labels, groups = (np.repeat(noise, 4, 0), np.repeat(labels, 4), np.repeat(np.arange(24).astype(str), 4))
    torn = np.array([str(place) for place in range(96)])
    assert chosen(features, labels, groups) < chosen(features, labels, torn)


def test_a_held_out_answer_is_that_of_a_head_that_never_saw_the_fold():
    features, labels, groups = cloud([12, 14, 13])
    fold = grouped_folds(labels, groups, seed=0)
    logits = cross_validate(features, labels, fold, 3).logits
    wrong = labels.copy()
    wrong[fold == 2] = np.roll(labels[fold == 2], 1)
    again = cross_validate(features, wrong, fold, 3).logits
    learnt = fold != 2
    answers = {
        strength: fit_head(features[learnt], labels[learnt], 3, strength).logits(features[~learnt])
        for strength in STRENGTHS
    }
    for found in (logits, again):  # the same but for where the solver stopped
        assert min(np.abs(softmax(found[~learnt]) - softmax(one)).max() for one in answers.values()) < 0.01


def test_the_head_is_the_mean_of_one_on_the_last_stage_and_one_on_all():
    """Five features of an earlier stage weigh as much as forty of the last."""
    last, labels, _ = cloud([30, 30, 30], gap=0.5)
    earlier = cloud([30, 30, 30], dim=5, gap=1.5, seed=1)[0]
    features = np.concatenate([last, earlier], 1)
    head = fit_head(features, labels, 3, 0.1, blocks=(40, 5))
    alone = fit_head(last, labels, 3, 0.1)
    rows = np.concatenate([scaled(block, block) for block in (last, earlier)], 1)
    rows[:, 40:] *= np.sqrt(40 / 5)
    every = LogisticRegression(C=0.1, solver="newton-cholesky", tol=1e-10).fit(rows, labels)
    expected = (alone.logits(last) + every.decision_function(rows)) / 2
    assert np.abs(softmax(head.logits(features)) - softmax(expected)).max() < 1e-4


def test_held_out_answers_of_the_head_and_of_its_last_stage_half_come_from_the_same_folds():
    last, labels, groups = cloud([30, 30, 30], gap=0.5)
    features = np.concatenate([last, cloud([30, 30, 30], dim=5, gap=1.5, seed=1)[0]], 1)
    fold = grouped_folds(labels, groups, seed=0)
    crossed = cross_validate(features, labels, fold, 3, blocks=(40, 5))
    assert balanced_accuracy(crossed.logits, labels) > balanced_accuracy(crossed.last_stage, labels) > 0.5
    learnt = fold != 1
    near = [
        np.abs(softmax(crossed.last_stage[~learnt]) - one.probabilities(last[~learnt])).max()
        for one in (fit_head(last[learnt], labels[learnt], 3, strength) for strength in STRENGTHS)
    ]
    assert min(near) < 0.01


def test_a_dead_feature_does_no_harm():
    features, labels, _ = cloud([20, 20])
    features[:, 3] = 7
    head = fit_head(features, labels, 2)
    assert np.isfinite(head.weight).all()
    assert balanced_accuracy(head.probabilities(features), labels) > 0.9


def test_a_channel_that_hardly_varied_while_learning_does_not_decide_alone():
    """In one image it is a hundred thousand of its deviations away, which is no more than the others' usual spread."""
    features, labels, _ = cloud([30, 30, 30])
    features[:, 3] = np.where(labels == 0, 1e-5, 0) + np.random.default_rng(1).normal(0, 1e-6, len(labels))
    head = fit_head(features, labels, 3)
    changed = features.copy()
    changed[:, 3] = features.std(axis=0).mean()
    assert np.abs(head.logits(changed) - head.logits(features)).max() < 0.1


def test_same_seed_same_bits():
    features, labels, _ = cloud([20, 25, 22])
    one, two = (fit_head(features, labels, 3) for _ in range(2))
    assert one.weight.tobytes() == two.weight.tobytes()


def test_unbalanced_classes_count_the_same():
    assert class_weights(np.array([0] * 10 + [1] * 12), 2).tolist() == [1, 1]
    weights = class_weights(np.array([0] * 30 + [1] * 10), 2)
    assert (weights * [30, 10]).tolist() == pytest.approx([20, 20])


def test_measures():
    answers = np.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.7, 0.3]], np.float32)
    labels = np.array([0, 0, 1, 1])
    assert balanced_accuracy(answers, np.array([0, 0, 0, 1])) == pytest.approx((2 / 3 + 0) / 2)
    assert log_loss(answers, labels) == pytest.approx(-np.log([0.9, 0.8, 0.6, 0.3]).mean(), rel=1e-5)
    assert np.isfinite(log_loss(np.array([[1, 0]], np.float32), np.array([1])))
    assert softmax(np.array([[1000.0, 1000.0]])).tolist() == [[0.5, 0.5]]
