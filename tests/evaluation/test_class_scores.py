"""Scores of classes and of quantities against scikit-learn, closed forms and brute force."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, f1_score, r2_score, roc_auc_score

from calcium_decoding.evaluation.metrics import class_scores, confusion, correlation, quantity_scores

NAMES = ("a", "b", "c", "d")


def drawn(seed=0, n=200, k=4):
    rng = np.random.default_rng(seed)
    labels = rng.choice(k, n, p=[0.1, 0.2, 0.3, 0.4])
    return labels, rng.dirichlet(np.ones(k), n) + 0.3 * np.eye(k)[labels]


@pytest.mark.parametrize("seed", range(5))
def test_scores_of_classes_are_those_of_scikit_learn(seed):
    labels, p = drawn(seed)
    p /= p.sum(axis=1, keepdims=True)
    scores, notes = class_scores(labels, p, NAMES)
    said = p.argmax(axis=1)
    assert notes == () and scores["chance"] == 0.25 and np.isclose(scores["accuracy"], (said == labels).mean())
    assert np.isclose(scores["balanced_accuracy"], balanced_accuracy_score(labels, said))
    assert np.isclose(scores["macro_f1"], f1_score(labels, said, average="macro"))
    assert np.isclose(scores["auc"], roc_auc_score(labels, p, multi_class="ovr", average="macro"))
    table = confusion_matrix(labels, said, normalize="true")
    assert np.allclose(confusion(labels, p), table)
    assert np.allclose([scores[f"recall_{name}"] for name in NAMES], np.diag(table))
    for i, name in enumerate(NAMES):  # the share of pairs in the right order
        inside, outside = p[labels == i, i][:, None], p[labels != i, i]
        assert np.isclose(scores[f"auc_{name}"], (inside > outside).mean() + (inside == outside).mean() / 2)


def test_a_perfect_and_an_ignorant_decoder():
    labels = np.array([0, 0, 0, 1, 2, 3])
    perfect, _ = class_scores(labels, np.eye(4)[labels], NAMES)
    assert {perfect[name] for name in ("balanced_accuracy", "macro_f1", "accuracy", "auc")} == {1.0}
    same, _ = class_scores(labels, np.tile([0.7, 0.1, 0.1, 0.1], (6, 1)), NAMES)
    assert same["balanced_accuracy"] == 0.25 == same["chance"] and same["accuracy"] == 0.5 == same["auc"]
    assert np.isclose(same["macro_f1"], (2 * 3 / (3 + 6)) / 4)  # 2 TP / (2 TP + FP + FN) of one class in four


def test_a_class_without_frames_is_named_and_the_others_count():
    labels, p = drawn()
    kept = labels != 2
    labels, p = labels[kept], p[kept]
    scores, notes = class_scores(labels, p, NAMES)
    said = p.argmax(axis=1)
    assert [note for note in notes if "class c" in note] == list(notes) and len(notes) == 1
    assert scores["chance"] == 1 / 3 and not {"recall_c", "auc_c"} & {*scores}
    assert np.isclose(scores["balanced_accuracy"], np.mean([(said[labels == i] == i).mean() for i in (0, 1, 3)]))
    assert np.isclose(scores["macro_f1"], f1_score(labels, said, labels=[0, 1, 3], average="macro"))
    assert (confusion(labels, p)[2] == 0).all() and np.allclose(confusion(labels, p).sum(axis=1), [1, 1, 0, 1])


def test_one_class_alone_has_no_auc():
    scores, _ = class_scores(np.zeros(3, int), np.eye(4)[[0, 0, 1]], NAMES)
    assert np.isclose(scores["balanced_accuracy"], 2 / 3) and "auc" not in scores


@pytest.mark.parametrize("period", [1.0, 2 * np.pi, 360.0])
def test_the_circular_error_is_the_shortest_way_round(period):
    rng = np.random.default_rng(1)
    true, said = pd.DataFrame({"x": rng.uniform(0, period, 300)}), pd.DataFrame({"x": rng.uniform(0, period, 300)})
    scores, _ = quantity_scores(true, said, {"x": period})
    ways = [np.abs(true["x"] - said["x"] + k * period) for k in range(-2, 3)]
    assert np.isclose(scores["circular_error_x"], np.min(ways, axis=0).mean())
    z, w = (np.exp(2j * np.pi * values["x"].to_numpy() / period) for values in (true, said))
    assert np.isclose(scores["r2_x"], 1 - (np.abs(z - w) ** 2).sum() / (np.abs(z - z.mean()) ** 2).sum())
    assert scores["r2"] == scores["r2_x"] and "mae_x" not in scores
    assert quantity_scores(true, true + 3 * period, {"x": period})[0]["circular_error_x"] < 1e-9 * period


def test_several_quantities_are_scored_each_and_their_r2_is_the_mean():
    rng = np.random.default_rng(2)
    true = pd.DataFrame(rng.normal(size=(100, 3)), columns=["x", "y", "z"])
    said = true + rng.normal(size=(100, 3)) * [0.1, 1, 3]
    scores, notes = quantity_scores(true, said, {})
    assert notes == () and np.isclose(scores["r2"], r2_score(true, said))
    for name in true:
        error = true[name] - said[name]
        assert np.isclose(scores[f"r2_{name}"], 1 - (error**2).mean() / true[name].var(ddof=0))
        assert np.isclose(scores[f"mae_{name}"], error.abs().mean())
        assert np.isclose(scores[f"correlation_{name}"], true[name].corr(said[name]))
    scores, notes = quantity_scores(true.assign(z=1.0), said, {})
    assert "z never changes" in notes[0] and np.isclose(scores["r2"], (scores["r2_x"] + scores["r2_y"]) / 2)


def test_correlation_in_closed_form():
    x = np.array([1.0, 2, 3, 4])
    assert np.isclose(correlation(x, 5 - 2 * x)["correlation"], -1)
    assert np.isclose(correlation(x, [1, -1, -1, 1])["correlation"], 0)
    assert np.isclose(correlation([0, 0, 1, 1], [0, 1, 1, 1])["correlation"], 1 / np.sqrt(3))
    assert correlation(x, np.ones(4)) == correlation(np.ones(4), x) == {}
