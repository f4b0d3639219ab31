"""The runs that the first author of Mirzaee et al. 2025 stored, beside what always saying "none" would score: from
:mod:`calcium_decoding.data.published`, or by counting; none was measured here."""

import numpy as np
import pandas as pd

from calcium_decoding.data import published
from calcium_decoding.models.names import FOOTSTEP_LABELS
from calcium_decoding.plotting.style import NULL_COLOUR
from calcium_decoding.preprocessing.windows import CLASSES
from decoding_book.chapters.split_audit.ways import COLOURS

TASKS = {"multiclass": "three classes", "contralateral": "contralateral", "ipsilateral": "ipsilateral"}
MODELS = {"LSTM": "lstm", "CNN-BiLSTM-attention": "hybrid"}  # what the other chapter calls them
CHANCE = {"multiclass": 1 / 3, "contralateral": 1 / 2, "ipsilateral": 1 / 2}  # of balanced accuracy


def shares():
    """Share of each class (column) among the test windows of each recording (row, "recording_002")."""
    counts = published.table("paper2_recordings")
    found = counts[[f"n_test_{name}" for name in CLASSES]].div(counts["n_test_windows"], axis=0)
    names = [f"recording_{int(r):03d}" for r in counts["recording"]]
    return found.set_axis(list(CLASSES), axis=1).set_axis(pd.Index(names, name="recording"), axis=0)


def majority_accuracies():
    """``majority``, the accuracy of the most frequent answer, by ``recording`` and ``task``."""
    found = 1 - shares().drop(columns="none")
    return found.assign(multiclass=shares().max(axis=1)).melt(var_name="task", value_name="majority",
                                                              ignore_index=False).reset_index()


def accuracies():
    """Stored accuracies of each run and task, with the majority's, the points above it, and ``balanced_accuracy``
    (missing where too little was stored). Runs whose recording is not stated have no majority."""
    runs = published.table("paper2_author_runs")
    runs = runs[runs["task"].isin(TASKS) & (runs["metric"] == "accuracy")]
    found = runs.rename(columns={"value": "accuracy"})[["model", "recording", "split", "task", "accuracy", "source"]]
    found = found.merge(majority_accuracies(), on=["recording", "task"], how="left")
    found["points_above"] = 100 * (found["accuracy"] - found["majority"])
    keys = ["model", "recording", "split", "task", "source"]
    return found.merge(balanced_accuracies(), on=keys, how="left").drop(columns="source")


def balanced_accuracies():
    """``balanced_accuracy`` that follows from what was stored of a run and task. Three classes: mean of the recalls in
    a stored confusion matrix. One foot: from accuracy A, recall R of the foot and its share s of the test windows, the
    recall of the rest is (A - s R) / (1 - s); all stored test sets of a recording have the same size."""
    keys = ["model", "recording", "split", "task", "source"]
    runs = published.table("paper2_author_runs").pivot_table("value", keys, "metric").reset_index()
    counted = np.array([[runs[f"confusion_true{k}_pred{j}"] for j in range(3)] for k in range(3)])  # (true, said, run)
    share = runs[["recording", "task"]].merge(
        shares().melt(var_name="task", value_name="share", ignore_index=False).reset_index(), how="left")["share"]
    rest = (runs["accuracy"] - share * runs["recall_positive"]) / (1 - share)
    balanced = pd.Series((counted[range(3), range(3)] / counted.sum(axis=1)).mean(axis=0))
    found = runs[keys].assign(balanced_accuracy=balanced.fillna((runs["recall_positive"] + rest) / 2))
    return found.dropna(subset="balanced_accuracy")


def marks(stored, task, score, ax):
    """Stored scores (of :func:`accuracies`) of one task by recording: a mark is a run, hollow where its split is not
    known. ``score``: "accuracy", with a bar for the most frequent answer, or "balanced_accuracy", with a line for
    chance."""
    mine = stored[(stored["task"] == task) & stored["majority"].notna()].dropna(subset=score)
    names = sorted(set(stored["recording"][stored["majority"].notna()]))
    if score == "accuracy":
        bars = mine.drop_duplicates("recording")
        x = bars["recording"].map(names.index)
        ax.hlines(bars["majority"], x - 0.3, x + 0.3, color=NULL_COLOUR, lw=2, label="most frequent answer")
    else:
        ax.axhline(CHANCE[task], color=NULL_COLOUR, ls="--", lw=1, label="chance")
    for (model, is_known), runs in mine.groupby(["model", mine["split"] != "not stated"]):
        name = MODELS[model]
        x = runs["recording"].map(names.index) + (0.12 if name == "hybrid" else -0.12)
        ax.plot(x, runs[score], "s" if name == "hybrid" else "o", color=COLOURS[name], alpha=0.8,
                mfc=COLOURS[name] if is_known else "none",
                label=FOOTSTEP_LABELS[name] + ("" if is_known else ", split not stated"))
    ax.set_xticks(range(len(names)), [name.removeprefix("recording_") for name in names])
    ax.set(xlabel="recording", ylabel=f"stored {score.replace('_', ' ')}\n(a mark is a run)", ylim=(0.3, 1),
           title=TASKS[task])
    return ax
