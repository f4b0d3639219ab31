"""Scores of decoders of movies by session, by animal and by epoch; as published, and further ones."""

import numpy as np
import pandas as pd

from calcium_decoding.data import published
from calcium_decoding.errors import DataError
from calcium_decoding.evaluation import cards, metrics
from calcium_decoding.preprocessing import confounds


def by_session(folds):
    """Scores of each test session in each fold that tests it.

    ``folds`` (sequence of FoldResult): of decoders of running. Returns a DataFrame: ``model``, ``fold``, ``tested
    on`` (a test group, as a rule an animal), ``session``, ``run share``, ``auc``, ``accuracy`` (at 0.5), ``reason``:
    why there is no AUC; a session in which the animal always runs has none, and an accuracy. Folds without scores have
    no rows.
    """
    rows = []
    for fold in folds:
        for session in fold.recordings if fold.scores else ():
            _, labels, p_run = fold.trace(session)
            row = {"model": fold.model, "fold": fold.fold, "tested on": fold.test_group, "session": session,
                   "run share": float(np.mean(labels)), "auc": None,
                   "accuracy": float(np.mean((p_run > 0.5) == labels)), "reason": ""}
            try:
                row["auc"] = metrics.frame_scores(labels, p_run)["auc"]
            except DataError as error:
                row["reason"] = error.found
            rows.append(row)
    return pd.DataFrame(rows, dtype=object)


def session_table(folds, dataset):
    """A row a test animal and decoder: the AUC over all its frames beside those of its sessions.

    ``folds``: sequence of FoldResult. ``dataset``: if the published figures were measured on it, their means stand
    beside. Returns a DataFrame: ``tested on``, ``model``, ``folds``; ``AUC, pooled`` (over all test frames of the
    animal, as published; mean of its folds), ``AUC, by session`` (mean over sessions that have one, each the mean of
    its folds), ``lowest`` and ``highest`` of these, ``accuracy`` (mean of sessions), ``sessions without AUC``.
    """
    rows = []
    sessions = by_session(folds)
    for (group, model), mine in sessions.groupby(["tested on", "model"], sort=False) if len(sessions) else ():
        pooled = [f.scores["auc"] for f in folds if f.scores and (f.test_group, f.model) == (group, model)]
        scored = mine[mine["reason"] == ""].assign(auc=lambda rows: rows["auc"].astype(float))
        each = scored.groupby("session", sort=False)["auc"].mean()
        row = {"tested on": group, "model": model, "folds": len(pooled), "AUC, pooled": float(np.mean(pooled)),
               "AUC, by session": float(each.mean()) if len(each) else None,
               "lowest": float(each.min()) if len(each) else None,
               "highest": float(each.max()) if len(each) else None,
               "accuracy": float(mine["accuracy"].astype(float).mean()),
               "sessions without AUC": mine.loc[mine["reason"] != "", "session"].nunique()}
        if dataset.compare_with_study:
            row |= _published_sessions(model, dataset.animals.index(group) + 1)
        rows.append(row)
    return pd.DataFrame(rows)


def _published_sessions(model, mouse):
    """Published means over sessions and folds of one mouse; empty strings where there are none."""
    known = {"cnn": "image_cnn_stage1", "cnn_gru": "image_cnn_gru_stage2"}
    table = published.table("per_session_cnn")
    mine = table[(table["experiment"] == known.get(model)) & (table["test_mouse"] == mouse)]
    return {f"published {name}, by session": float(mine.loc[mine["metric"] == metric, "value"].mean()) if len(mine) else
            None for name, metric in (("AUC", "auc"), ("accuracy", "accuracy"))}


def frame_table(folds):
    """What an AUC does not say, a row a test group and decoder, means over folds.

    ``folds``: sequence of FoldResult. Returns a DataFrame: ``tested on``, ``model``, ``AUC``, ``balanced
    accuracy``, ``accuracy``; ``average precision`` with ``run share``, what it is without any skill; ``Brier score``
    with ``Brier, share only``, that of always saying the animal's own share of running.
    """
    rows = {}
    for fold in folds:
        if fold.scores:
            rows.setdefault((fold.test_group, fold.model), []).append(fold.scores)
    table = []
    for (group, model), scores in rows.items():
        mean = {name: float(np.mean([s[name] for s in scores])) for name in scores[0] if all(name in s for s in scores)}
        share = mean["run_share"]
        table.append({"tested on": group, "model": model, "AUC": mean["auc"],
                      "balanced accuracy": mean["balanced_accuracy"], "accuracy": mean["accuracy"],
                      "average precision": mean["average_precision"], "run share": share, "Brier score": mean["brier"],
                      "Brier, share only": share * (1 - share)})
    return pd.DataFrame(table)


def epoch_table(folds):
    """Mean losses by epoch, a row a decoder and epoch (Fig 2D).

    ``folds`` (sequence of FoldResult): those that could not be evaluated are left out. Returns pandas.DataFrame:
    ``model``, ``epoch`` from 1, ``folds``, ``training loss``, ``validation loss`` (mean over folds), ``kept in``: how
    many folds kept that epoch.
    """
    rows = []
    for model, histories in _histories(folds).items():
        for epoch in range(min(len(h.valid_loss) for h in histories)):
            rows.append({"model": model, "epoch": epoch + 1, "folds": len(histories),
                         "training loss": float(np.mean([h.train_loss[epoch] for h in histories])),
                         "validation loss": float(np.mean([h.valid_loss[epoch] for h in histories])),
                         "kept in": sum(h.best_epoch == epoch for h in histories)})
    return pd.DataFrame(rows)


def loss_scores(folds):
    """Validation loss after the first and after the last epoch, over folds, for the result card.

    Returns a list of Score: metrics ``valid_loss_first`` and ``valid_loss_last``.
    """
    scores = []
    for model, histories in _histories(folds).items():
        for metric, epoch in (("valid_loss_first", 0), ("valid_loss_last", -1)):
            scores += cards.summarise(model, [h.valid_loss[epoch] for h in histories], metric)
    return scores


def explained_scores(full, controls):
    """Share of a decoder's score that each control reaches by itself, over folds, for the result card.

    ``full``: list of FoldResult. ``controls``: dict of str to list of FoldResult. Returns a list of Score: metric
    ``share_explained``; see :func:`calcium_decoding.preprocessing.confounds.explained`. None of a control without a
    fold that has a share.
    """
    whole = {fold.fold: fold.scores["auc"] for fold in full if fold.scores}
    scores = []
    for name, folds in controls.items():
        shares, _ = confounds.explained({f.fold: f.scores["auc"] for f in folds if f.scores}, whole)
        scores += cards.summarise(name, shares.values(), "share_explained") if shares else []
    return scores


def _histories(folds):
    found = {}
    for fold in folds:
        if fold.history.valid_loss:
            found.setdefault(fold.model, []).append(fold.history)
    return found
