"""Published figures of the two studies, as tables that ship with the library.

Facts only: numbers stated by Ajioka et al. 2024 (DOI 10.1371/journal.pcbi.1011074, CC BY) or saved in the outputs of
its public code (MIT). None was produced here. ``published/README.md`` gives sources and units.
"""

from functools import cache
from importlib.resources import files

import pandas as pd

GROUPS = ("M2_M1", "FL_HL", "PT_RS", "V1_Vm", "Vl_A1")


@cache
def _table(name):
    with (files("calcium_decoding") / "published" / name).open(encoding="utf-8") as file:
        return pd.read_csv(file)


def roi_table():
    """The 50 ROIs: ``roi`` number, ``hemisphere``, ``homologue_roi`` and ``group`` (``"other"`` if in no group)."""
    table = _table("roi_table.csv").copy()
    table["group"] = table["group"].fillna("other")
    return table


def run_share(animal):
    """Mean share of running frames of one animal (1 to 5) over its sessions, 0 to 1."""
    sessions = _table("sessions.csv")
    return float(sessions.loc[sessions["mouse"] == animal, "run_proportion"].mean())


def reported(experiment, model, variant, metric="auc"):
    """Mean and SD that the paper states, as ``(mean, sd, n, figure)``.

    Raises
    ------
    KeyError
        The paper states no such figure.
    """
    table = _table("paper_reported.csv")
    row = table[(table["experiment"] == experiment) & (table["model"] == model)
                & (table["variant"] == variant) & (table["metric"] == metric)]
    if len(row) != 1:
        raise KeyError(f"{experiment}, {model}, {variant}, {metric}")
    return float(row["mean"].iloc[0]), float(row["sd"].iloc[0]), int(row["n"].iloc[0]), row["figure"].iloc[0]


def per_fold(experiment, model, variant, metric="auc"):
    """Published values of the 20 folds: DataFrame with ``test_mouse``, ``valid_mouse`` and ``value``."""
    table = _table("per_fold.csv")
    rows = table[(table["experiment"] == experiment) & (table["model"] == model)
                 & (table["variant"] == variant) & (table["metric"] == metric)]
    return rows[["test_mouse", "valid_mouse", "value"]].reset_index(drop=True)
