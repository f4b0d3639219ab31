"""Fold results as tables to read."""

import numpy as np
import pandas as pd

from calcium_decoding.data import catalog, published
from calcium_decoding.evaluation import cards, convergence, statistics
from calcium_decoding.evaluation.metrics import METRIC_LABELS
from calcium_decoding.models.names import LABELS
from calcium_decoding.plotting.style import WARNING

# Where the paper states the AUC of a model of ours: experiment, model and variant in its table. Networks on traces see
# them less their moving mean, recurrent networks on images five images on either side.
PUBLISHED = {name: ("roi_rnn_architecture", theirs, "preprocessed") for name, theirs in {
    "gru": "GRU", "lstm": "LSTM", "rnn": "SimpleRNN", "bigru": "BiGRU", "bilstm": "BiLSTM",
    "birnn": "BiSimpleRNN"}.items()}
PUBLISHED |= {
    "logistic": ("roi_linear", "LogisticRegression", "preprocessed"),
    "gru null": ("roi_rnn_null", "GRU", "session_permuted_labels"),
    "cnn": ("image_cnn_stage1", "EfficientNet-B0", "rgb_t-1_t_t+1"),
    "cnn_gru": ("image_cnn_gru_stage2", "EfficientNet-B0+GRU", "half_window_5_frames_nonfixed"),
    "cnn_lstm": ("image_cnn_lstm_stage2", "EfficientNet-B0+LSTM", "half_window_5_frames_nonfixed"),
}


def show(table, decimals=3, said=""):
    """A DataFrame as a page shows it: words for names, no index, numbers rounded, blanks for what does not exist;
    without the column ``simulated``, which is for figures. ``said``: a warning, which stands above in red, as what is
    NOT as it should be does in its cell. ``table.attrs["note"]``: stands below."""
    note = table.attrs.get("note", "")
    table = table.drop(columns="simulated", errors="ignore")
    red = f"color: {WARNING}; font-weight: bold;"
    if table.empty:
        return pd.DataFrame([said or "none"]).style.hide(axis="index").hide(axis="columns").map(
            lambda cell: red if said else "")
    words = table.rename(columns=lambda name: str(name).replace("_percent", " (%)").replace("_", " "))
    caption = f"{red} text-align: left;" if said else "caption-side: bottom; text-align: left; color: inherit;"
    looks = [{"selector": "th, td", "props": "padding: 0.2em 0.6em; text-align: left;"},
             {"selector": "caption", "props": caption}]
    style = words.style.format(precision=decimals, na_rep="").hide(axis="index").set_table_styles(looks)
    style = style.map(lambda cell: red if str(cell).startswith(("NOT ", convergence.WITHIN_SEEDS)) else "")
    # A wide table scrolls, the page does not.
    return style.set_caption(said or note).set_table_attributes('style="display: block; overflow-x: auto"')


def published_scores(experiment):
    """Published mean and SD of the AUC by model; empty unless running is decoded, from the study's own data."""
    if not experiment.dataset.compare_with_study or experiment.task.name != "run":
        return {}
    return {name: published.reported(*key)[:2] for name, key in PUBLISHED.items()}


def unconverged(folds):
    """What to say of the training of each model, by its name: NOT CONVERGED and why; empty where it has."""
    return {model: convergence.marked(convergence.not_converged(r for r in folds if r.model == model))
            for model in dict.fromkeys(r.model for r in folds)}


def warning(folds):
    """Which decoders have not converged, in words for a table that shows them; empty if all have."""
    return convergence.marked(", ".join(LABELS[model] for model, why in unconverged(folds).items() if why))


def score_table(folds, nulls, dataset):
    """Mean and sample SD of AUC and balanced accuracy over folds, a row a model, nulls below. Published values stand
    beside where the data are the study's own or imitate its design, and the training has converged."""
    rows, said = [], unconverged(folds)
    for suffix, results in (("", folds), (" null", nulls)):
        for model in dict.fromkeys(r.model for r in results):
            scored = [r.scores for r in results if r.model == model and r.scores]
            row = {"decoder": LABELS[model] + (", null" if suffix else ""), "folds": len(scored)}
            for metric in ("auc", "balanced_accuracy"):
                values = [s[metric] for s in scored]
                row[f"{metric} mean"] = np.mean(values) if values else None
                row[f"{metric} SD"] = np.std(values, ddof=1) if len(values) > 1 else None
            if any(said.values()):
                row["training"] = "" if suffix else said[model]
            if results[0].target == "run" and (dataset.compare_with_study or dataset.simulated):
                key = PUBLISHED.get(model + suffix)
                beside = key and (suffix or not said[model])
                row["published AUC, real mice"] = "{:.3f} ± {:.3f}".format(*published.reported(*key)) if beside else ""
            rows.append(row)
    return pd.DataFrame(rows)


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
    """AUC of each decoder of a stored card, what a fold took, and what has not converged; empty without a card."""
    if card is None:
        return pd.DataFrame()
    rows = []
    for model, mine in card.table().groupby("model", sort=False):
        means = mine[mine["scope"].str.match(r"mean of \d+ folds")].set_index("metric")
        seconds = mine.loc[mine["metric"] == "seconds", "value"]
        row = {"decoder": model, "folds": int(means.loc["auc", "n"])}
        row |= {name: _mean(means.loc[metric]) for metric, name in (
            ("auc", "AUC"), ("auc_train", "training AUC"), ("auc_valid", "validation AUC")) if metric in means.index}
        if (mine["metric"] == "converged").any() and not mine.loc[mine["metric"] == "converged", "value"].all():
            row["training"] = convergence.MARK
        rows.append(row | {"minutes a fold": f"{seconds.mean() / 60:.1f}" if len(seconds) else ""})
    return pd.DataFrame(rows)


def real_recordings(chapter):
    """What is stored of a chapter on real recordings: a row a decoder, or of chapters that decode nothing a row a mean,
    and the caution of each data set as note. Over folds: mean and SD of AUCs, median and range of R2."""
    rows, notes = [], []
    for card in cards.stored_cards().values():
        if card.chapter != chapter or card.simulated:
            continue
        notes.append(f"{card.dataset}: {catalog.load_manifest().entries[card.dataset].caution}")
        held = {(s.model, s.metric): s for s in card.scores
                if s.scope.startswith("mean of") or s.metric in ("p", "converged")}
        for (model, metric), score in held.items():
            row = {"recordings": card.dataset}
            if card.kind == "data":
                rows.append(row | {"of": model, "quantity": metric, "mean ± SD": _mean(score), "over": score.scope[8:]})
            elif metric in ("auc", "r2") and model in LABELS:
                null, p = (held.get(key) for key in ((f"{model} null", metric), (model, "p")))
                there = next(s for s in card.scores if (s.model, s.metric) == (f"{model}, as for its null", metric))
                of_folds = [s.value for s in card.scores
                            if (s.model, s.metric) == (model, metric) and s.scope.startswith("fold test=")]
                words, values = ("mean ± SD", _mean(score)) if metric == "auc" else ("median (range)", (
                    f"{np.median(of_folds):.2f} ({min(of_folds):.2f} to {max(of_folds):.2f})"))
                marks = [convergence.MARK] if not held[model, "converged"].value else []
                marks += ["NOT ABOVE ITS NULL"] if p and p.value >= statistics.ALPHA else []
                rows.append(row | {
                    "decodes": card.provenance.parameters["target"], "decoder": LABELS[model], "folds": score.n,
                    f"{METRIC_LABELS[metric]}, {words}": values, "mean on the null's frames": f"{there.value:.3f}",
                    "mean of the null": _mean(null), "draws": null.n, "p": p and f"{p.value:.2g}",
                    "warning": ", ".join(marks) or None})
    table = pd.DataFrame(rows).dropna(axis="columns", how="all")
    table.attrs["note"] = " ".join(notes)
    return table


def _mean(score):
    return f"{score.value:.3f}" + (f" ± {score.sd:.3f}" if score.sd is not None else "")
