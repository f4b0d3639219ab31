"""Fold results as tables to read."""

import numpy as np
import pandas as pd

from calcium_decoding.data import published
from calcium_decoding.models.names import LABELS
from decoding_book.chapters import variants

# Where the paper states the score of a model of ours: experiment, model and variant in its table.
_PUBLISHED = {
    "gru": variants.NETWORKS["gru"],
    "logistic": ("roi_linear", "LogisticRegression", "preprocessed"),
    "gru null": ("roi_rnn_null", "GRU", "session_permuted_labels"), "cnn": variants.PUBLISHED["cnn"],
}


def show(table, decimals=3):
    """A DataFrame as a page shows it: words for names, no index, numbers rounded, blanks for what does not exist.

    The column ``simulated``, which is for figures, is left out.
    """
    table = table.drop(columns="simulated", errors="ignore")
    if table.empty:
        return pd.DataFrame(["none"]).style.hide(axis="index").hide(axis="columns")
    words = table.rename(columns=lambda name: str(name).replace("_percent", " (%)").replace("_", " "))
    room = [{"selector": "th, td", "props": "padding: 0.2em 0.9em; text-align: left;"}]
    style = words.style.format(precision=decimals, na_rep="").hide(axis="index").set_table_styles(room)
    return style.set_table_attributes('style="display: block; overflow-x: auto"')  # a wide table scrolls, the page not


def published_scores(experiment):
    """Published mean and SD of the AUC by model; empty unless running is decoded, from the study's own data."""
    if not experiment.dataset.compare_with_study or experiment.task.name != "run":
        return {}
    return {name: published.reported(*key)[:2] for name, key in _PUBLISHED.items()}


def score_table(folds, nulls, dataset):
    """Mean and sample SD of AUC and balanced accuracy over folds, a row a model, nulls below.

    With a published column where the data are the study's own or, being simulated, imitate its design.
    """
    rows = []
    for suffix, results in (("", folds), (" null", nulls)):
        for model in dict.fromkeys(r.model for r in results):
            scored = [r.scores for r in results if r.model == model and r.scores]
            row = {"decoder": LABELS[model] + (", null" if suffix else ""), "folds": len(scored)}
            for metric in ("auc", "balanced_accuracy"):
                values = [s[metric] for s in scored]
                row[f"{metric} mean"] = np.mean(values) if values else None
                row[f"{metric} SD"] = np.std(values, ddof=1) if len(values) > 1 else None
            if results[0].target == "run" and (dataset.compare_with_study or dataset.simulated):
                key = _PUBLISHED.get(model + suffix)
                row["published AUC, real mice"] = "{:.3f} ± {:.3f}".format(*published.reported(*key)) if key else ""
            rows.append(row)
    return pd.DataFrame(rows)


def group_table(folds):
    """Mean of the main score over the folds that test a group (an animal, a day): a row a group, a column a decoder."""
    rows = pd.DataFrame([(r.test_group, LABELS[r.model], r.scores[r.main_score]) for r in folds if r.scores],
                        columns=["tested on", "decoder", "score"])
    means = rows.pivot_table(index="tested on", columns="decoder", values="score", sort=False)
    return means.reset_index().rename_axis(columns=None)


def not_evaluable_table(folds):
    """Folds without a score, and why; each fold once."""
    return pd.DataFrame({r.fold: r.reason for r in folds if r.reason}.items(), columns=["fold", "reason"])


def folds_testing(folds, recording):
    """For each model the first fold with a score that tests a recording."""
    found = {}
    for r in folds:
        if r.scores and recording.id in r.recordings:
            found.setdefault(r.model, r)
    return list(found.values())


def stored_summary(card):
    """AUC of each decoder of a stored card, with what a fold took; empty if there is no card."""
    if card is None:
        return pd.DataFrame()
    rows = []
    for model, mine in card.table().groupby("model", sort=False):
        means = mine[mine["scope"].str.match(r"mean of \d+ folds")].set_index("metric")
        seconds = mine.loc[mine["metric"] == "seconds", "value"]
        row = {"decoder": model, "folds": int(means.loc["auc", "n"])}
        for metric, name in (("auc", "AUC"), ("auc_train", "training AUC"), ("auc_valid", "validation AUC")):
            if metric in means.index:
                row[name] = "{value:.3f} ± {sd:.3f}".format(**means.loc[metric])
        rows.append(row | {"minutes a fold": f"{seconds.mean() / 60:.1f}" if len(seconds) else ""})
    return pd.DataFrame(rows)


def stored_origin(card):
    """What a stored card depends on; empty if there is none."""
    return pd.DataFrame() if card is None else card.origin()
