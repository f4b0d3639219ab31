"""The runs that the first author of Mirzaee et al. 2025 stored, beside what always saying "none" would score.

All numbers come from :mod:`calcium_decoding.data.published` or follow from them by counting; none was measured here.
"""

import pandas as pd

from calcium_decoding.data import published

TASKS = {"multiclass": "three classes", "contralateral": "contralateral", "ipsilateral": "ipsilateral"}
CLASSES = ("none", "contralateral", "ipsilateral")


def majority_accuracies():
    """``majority``, the accuracy of the most frequent answer, by ``recording`` ("recording_002") and ``task``."""
    rows = []
    for r in published.table("paper2_recordings").itertuples():
        counts = [r.n_test_none, r.n_test_contralateral, r.n_test_ipsilateral]
        name = f"recording_{int(r.recording):03d}"
        rows.append({"recording": name, "task": "multiclass", "majority": max(counts) / r.n_test_windows})
        rows += [{"recording": name, "task": foot, "majority": 1 - n / r.n_test_windows}
                 for foot, n in zip(CLASSES[1:], counts[1:], strict=True)]
    return pd.DataFrame(rows)


def accuracies():
    """Stored accuracies of each run and task, with the majority's and the points above it.

    Columns ``model``, ``recording``, ``split``, ``task``, ``accuracy``, ``majority``, ``points_above`` and
    ``balanced_accuracy`` (missing where too little was stored). Runs whose recording is not stated have no majority.
    """
    runs = published.table("paper2_author_runs")
    runs = runs[runs["task"].isin(TASKS) & (runs["metric"] == "accuracy")]
    found = runs.rename(columns={"value": "accuracy"})[["model", "recording", "split", "task", "accuracy", "source"]]
    found = found.merge(majority_accuracies(), on=["recording", "task"], how="left")
    found["points_above"] = 100 * (found["accuracy"] - found["majority"])
    keys = ["model", "recording", "split", "task", "source"]
    return found.merge(balanced_accuracies(), on=keys, how="left").drop(columns="source")


def balanced_accuracies():
    """``balanced_accuracy`` that follows from what was stored of a run and task.

    Three classes: mean of the recalls in a stored confusion matrix. One foot: from accuracy A, recall R of the foot and
    its share s of the test windows, the recall of the rest is (A - s R) / (1 - s). Recordings' shares stand in
    ``paper2_recordings``; all stored test sets of a recording have the same size.
    """
    runs = published.table("paper2_author_runs")
    counts = published.table("paper2_recordings")
    counts.index = [f"recording_{int(r):03d}" for r in counts["recording"]]
    keys, rows = ["model", "recording", "split", "task"], []
    for names, part in runs.groupby([*keys, "source"]):
        values, (recording, task) = part.set_index("metric")["value"], (names[1], names[3])
        if "confusion_true0_pred0" in values:
            counted = [[values[f"confusion_true{k}_pred{j}"] for j in range(3)] for k in range(3)]
            rows.append((*names, sum(row[k] / sum(row) for k, row in enumerate(counted)) / 3))
        elif {"accuracy", "recall_positive"} <= set(values.index) and recording in counts.index and task in CLASSES:
            share = counts.loc[recording, f"n_test_{task}"] / counts.loc[recording, "n_test_windows"]
            rest = (values["accuracy"] - share * values["recall_positive"]) / (1 - share)
            rows.append((*names, (values["recall_positive"] + rest) / 2))
    return pd.DataFrame(rows, columns=[*keys, "source", "balanced_accuracy"])
