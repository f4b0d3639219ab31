"""Published figures, as tables: numbers stated by Ajioka et al. 2024 (DOI 10.1371/journal.pcbi.1011074, CC BY) or saved
in the outputs of its public code (MIT), and by the first author of Mirzaee et al. 2025 (arXiv 2504.16917). None was
produced here. ``published/README.md`` gives sources and units.
"""

from functools import cache
from importlib.resources import files

import pandas as pd

GROUPS = ("M2_M1", "FL_HL", "PT_RS", "V1_Vm", "Vl_A1")

# Panels with a rank-sum test, and the experiments whose models and variants they compare. The folds of the LSTM of
# Fig 2E, of the linear decoder of Fig 4E, and all of Figs 2F and 5C were not saved.
FAMILIES = {
    "Fig2E_without_lstm": ("image_cnn_stage1", "image_cnn_gru_stage2"),
    "Fig4E_without_linear": ("roi_rnn_architecture:GRU", "roi_rnn_raw"),
    "Fig4F": ("roi_rnn_architecture",),
    "Fig5B": ("roi_rnn_window_length",),
    "Fig6D": ("roi_rnn_region_4",),
    "Fig6F": ("roi_rnn_region_8",),
}


@cache
def _table(name):
    with (files("calcium_decoding.data.published") / name).open(encoding="utf-8") as file:
        return pd.read_csv(file)


def names():
    """Names of the tables, without their ending, sorted."""
    folder = files("calcium_decoding.data.published")
    return tuple(sorted(path.name.removesuffix(".csv") for path in folder.iterdir() if path.name.endswith(".csv")))


def table(name):
    """One table whole, as a DataFrame of its own; ``published/README.md`` gives its columns and units. Or KeyError."""
    if name not in names():
        raise KeyError(f"{name}; there are {', '.join(names())}")
    return _table(f"{name}.csv").copy()


def roi_table():
    """The 50 ROIs: ``roi`` number, ``hemisphere``, ``homologue_roi`` and ``group`` (``"other"`` if in no group)."""
    table = _table("roi_table.csv").copy()
    table["group"] = table["group"].fillna("other")
    return table


def roi_run_correlation():
    """Pearson r of each ROI with the run label, mean over 64 sessions: Series of 50, indexed by ``roi`` (S6 Fig)."""
    return _table("roi_run_correlation.csv").set_index("roi")["mean_pearson_r"].copy()


def run_share(animal):
    """Mean share of running frames of one animal (1 to 5) over its sessions, 0 to 1."""
    return float(_rows("sessions.csv", mouse=animal)["run_proportion"].mean())


def session_run_shares(animal):
    """Share of running frames of each session of one animal (1 to 5), 0 to 1, in the order of the study."""
    return tuple(_rows("sessions.csv", mouse=animal)["run_proportion"])


def _rows(name, **where):
    """Rows of a table whose columns have these values."""
    table = _table(name)
    return table[(table[list(where)] == list(where.values())).all(axis=1)]


def reported(experiment, model, variant, metric="auc"):
    """Mean and SD that the paper states, as ``(mean, sd, n, figure)``; KeyError if it states none."""
    row = _rows("paper_reported.csv", experiment=experiment, model=model, variant=variant, metric=metric)
    if len(row) != 1:
        raise KeyError(f"{experiment}, {model}, {variant}, {metric}")
    return float(row["mean"].iloc[0]), float(row["sd"].iloc[0]), int(row["n"].iloc[0]), row["figure"].iloc[0]


def per_fold(experiment, model, variant, metric="auc"):
    """Published values of the 20 folds: DataFrame with ``test_mouse``, ``valid_mouse`` and ``value``."""
    rows = _rows("per_fold.csv", experiment=experiment, model=model, variant=variant, metric=metric)
    return rows[["test_mouse", "valid_mouse", "value"]].reset_index(drop=True)


def rank_sum(one, other):
    """Rank-sum test of two conditions, each (experiment, model, variant), in the family of their panel: Holm's p and
    its stars; ``(None, "")`` where no panel of :data:`FAMILIES` compares them, or not all folds of it were saved."""
    groups = {"|".join(one[1:]), "|".join(other[1:])}
    for row in _table("rank_sum_check.csv").itertuples():
        experiments = {name.partition(":")[0] for name in FAMILIES[row.family]}
        whole = "_without_" not in row.family
        if whole and {row.group_a, row.group_b} == groups and {one[0], other[0]} <= experiments:
            return row.p_holm, row.stars
    return None, ""


def family(panel):
    """Published AUCs of the conditions that one panel of :data:`FAMILIES` compares: dict by ``"model|variant"`` of
    Series of 20 AUCs, indexed by ``test_mouse`` and ``valid_mouse``, the same order in each."""
    groups = {}
    for name in FAMILIES[panel]:
        experiment, _, model = name.partition(":")
        rows = _rows("per_fold.csv", experiment=experiment, metric="auc")
        for (of_model, variant), folds in rows.groupby(["model", "variant"], sort=False):
            if model in ("", of_model):
                groups[f"{of_model}|{variant}"] = folds.set_index(["test_mouse", "valid_mouse"])["value"].sort_index()
    return groups
