"""Deep SHAP against sampled interventional Shapley values, on networks of the study's size trained on simulated data.

The GRU of one fold of the data set `simulated` is trained as the demo of chapter 23 trains it. Some test windows are
explained against the same background by :func:`calcium_decoding.explain.deep_shap.values` and by permutations, which
know no rules. Players are the 50 ROIs, the 31 frames, or all 1,550 inputs. How noisy the permutations still are is told
by two independent halves of them. Prints a table and, last, one line of JSON; with --write also
`book/stored/shapley_agreement.json`, which chapter 24 shows. Some minutes of one thread.
"""

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy import stats

from calcium_decoding import models, splits
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.evaluation import cards, metrics
from calcium_decoding.experiments.engine import Experiment
from calcium_decoding.experiments.inputs import Traces
from calcium_decoding.explain import deep_shap
from calcium_decoding.models import names, training
from calcium_decoding.preprocessing.windows import WindowSpec
from calcium_decoding.simulation import widefield
from calcium_decoding.utils.code import code_digest
from calcium_decoding.utils.files import write_json
from calcium_decoding.utils.progress import progress

SPEC = WindowSpec(15, 15)
SETTINGS = training.TrainingSettings(epochs=2, batch_size=128, learning_rate=0.005)
DATA = {"world": "paper_like", "seed": 1, "sessions_per_animal": 4, "frames_per_session": 3600}
STORED = Path(__file__).resolve().parents[1] / "book" / "stored" / "shapley_agreement.json"
UPDATES = (600, 3000)  # the first as the demo of chapter 23; more makes networks that are surer of themselves
PAIRS = 2  # of orders for each background window
ROWS = 4096  # mixed windows at a time
PLAYERS = {  # numbers of players of each frame and ROI; windows explained
    "ROIs": (np.tile(np.arange(50), (31, 1)), 16),
    "frames": (np.tile(np.arange(31)[:, None], (1, 50)), 16),
    "inputs": (np.arange(31 * 50).reshape(31, 50), 2),
}


def sampled(decoder, windows, background, players, n_pairs=2, seed=0, label=None):
    """Interventional Shapley values by sampled permutations: slow, free of rules, what Deep SHAP is held against.

    A player is a set of inputs that are switched together from a background window to the explained one, such as all
    frames of a ROI. Its value is the mean change of the output when it is switched, over all orders and background
    windows (Štrumbelj, Kononenko 2014, DOI 10.1007/s10115-013-0679-x). Each order is also taken backwards, which
    cancels much of the noise (Mitchell et al. 2022, arXiv 2104.12199).

    Values by output, ``"probability"`` and ``"logit"``, shape (2, n, n_players), float64.

    ``windows``, ``background``: (n, length, n_roi) and (m, length, n_roi), float32. ``players``, (length, n_roi), int:
    to which player each input belongs, from 0. ``n_pairs``: orders drawn for each background window; even. The two
    values come from the first and second half of the orders, so they tell how much of the noise is left; their mean is
    the estimate, which sums to the output, less its mean over the background.
    """
    if n_pairs < 2 or n_pairs % 2:
        raise ParameterError("n_pairs", n_pairs, "an even number, 2 or more", "draw so many: halves are compared")
    players = np.asarray(players)
    n_players = int(players.max()) + 1
    if not windows.shape[1:] == background.shape[1:] == players.shape:
        raise DataError("players", f"shape {players.shape}", f"{windows.shape[1:]}, as the windows",
                        "give a player to each frame and ROI")
    if len(np.unique(players)) != n_players or players.min() < 0:
        raise DataError("players", "numbers with gaps", f"each of 0 .. {n_players - 1}", "number them without gaps")
    rng = np.random.default_rng(seed)
    found = {output: np.zeros((2, len(windows), n_players)) for output in ("probability", "logit")}
    at_once = max(1, ROWS // (n_players + 1))
    for i in progress(range(len(windows)), desc=label, unit="window", disable=label is None):
        for pair in range(n_pairs):
            for first in range(0, len(background), at_once):
                some = background[first : first + at_once]
                rank = rng.permuted(np.tile(np.arange(n_players), (len(some), 1)), axis=1)
                for order in (rank, n_players - 1 - rank):
                    for output, steps in _outputs(decoder, windows[i], some, order, players).items():
                        gains = np.take_along_axis(np.diff(steps, axis=1), order, axis=1)
                        found[output][pair % 2, i] += gains.sum(axis=0)
    return {output: values / (n_pairs * len(background)) for output, values in found.items()}


def _outputs(decoder, window, background, rank, players):
    """Outputs while players are switched one by one, dict of (m, n_players + 1), float64."""
    switched = rank[:, None, :] < np.arange(rank.shape[1] + 1)[:, None]
    mixed = np.where(switched[..., players], window, background[:, None])
    with torch.inference_mode():
        logits = decoder(torch.from_numpy(mixed.reshape(-1, *window.shape))).double()
    steps = {"probability": logits.sigmoid(), "logit": logits}
    return {output: values.numpy().reshape(switched.shape[:2]) for output, values in steps.items()}


def windows_of_fold(data):
    """Training, validation and test windows of the first fold."""
    dataset = widefield.dataset(widefield.SimulationSettings(**data))
    recipe = {"name": "published", "rate_hz": widefield.RATE_HZ, "baseline_frames": 1000}
    experiment = Experiment(dataset, splits.animal_pairs(dataset), Traces(recipe, SPEC), training=SETTINGS)
    experiment.audit()
    return experiment.fold_task(experiment.split.folds[0], "gru").windows()


def compare(values, halves):
    """How values of players, (n, n_players), go with the sampled ones, of two halves."""
    wanted = halves.mean(axis=0)
    half = float(np.corrcoef(halves[0].ravel(), halves[1].ravel())[0, 1])
    by_window = [np.corrcoef(a, b)[0, 1] for a, b in zip(values, wanted, strict=True)]
    maps = [np.abs(some).mean(axis=0) for some in (values, wanted)]
    return {
        "r": float(np.corrcoef(values.ravel(), wanted.ravel())[0, 1]),
        "reliability": 2 * half / (1 + half),  # Spearman-Brown: of the mean of both halves
        "r_by_window_median": float(np.median(by_window)), "r_by_window_least": float(np.min(by_window)),
        "r_of_maps": float(np.corrcoef(*maps)[0, 1]), "rank_r_of_maps": float(stats.spearmanr(*maps).statistic),
        "rms_error_over_rms": float(np.sqrt(((values - wanted) ** 2).mean() / (wanted**2).mean()))}


def explain(updates, train, valid, test, options):
    """Rows of one network: trained so many steps, explained in both ways."""
    settings = replace(SETTINGS, min_updates=updates, seed=options.seed)
    decoder = models.build("gru", train.n_roi, SPEC.past_frames, options.seed)
    training.fit(decoder, train, valid, settings)
    decoder.eval()
    p_run = training.predict(decoder, test)
    about = {"updates": updates, "auc": float(metrics.auc(test.labels, p_run)),
             "in_doubt": float(((p_run > 0.05) & (p_run < 0.95)).mean())}
    every = test.starts[:, None] + np.arange(SPEC.length)
    drawn = np.random.default_rng(options.seed).choice(len(test), options.background, replace=False)
    background, rows = test.frames[every[drawn]], []
    for name, (players, n) in PLAYERS.items():
        if name == "inputs" and (options.quick or updates != UPDATES[0]):
            continue
        windows = test.frames[every[np.linspace(0, len(test), 3 if options.quick else n, endpoint=False, dtype=int)]]
        halves = sampled(decoder, windows, background, players, PAIRS, options.seed, name)
        for output in names.OUTPUTS:
            found = deep_shap.values(decoder, windows, background, output)
            by_player = np.stack([np.bincount(players.ravel(), one.ravel()) for one in found.values])  # noqa: PD011
            rows.append(about | {"players": name, "output": output, "windows": len(windows),
                                 "orders": 2 * PAIRS * options.background} | compare(by_player, halves[output]))
    return rows


def main():
    """Train, explain in both ways, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--background", type=int, default=100)
    parser.add_argument("--seed", type=int, default=123)
    parser.add_argument("--write", action="store_true", help=f"to {STORED.name} in book/stored")
    parser.add_argument("--quick", action="store_true", help="a trial of the script: too short to measure anything")
    options = parser.parse_args()
    if options.quick and options.write:
        parser.error("a trial is not written: leave out --quick or --write")
    torch.set_num_threads(1)
    data = DATA | ({"animals": 3, "sessions_per_animal": 1} if options.quick else {})
    windows = windows_of_fold(data)
    rows = [row for updates in UPDATES[: 1 if options.quick else None]
            for row in explain(updates, *windows, options)]
    found = {"rows": rows, "model": "gru, 32 units, 50 ROIs x 31 frames, first fold of animal_pairs", "data": data,
             "simulated": True, "training": asdict(SETTINGS), "background": options.background, "seed": options.seed,
             "code_hash": code_digest("explain/deep_shap"), "code_version": cards.code_version()}
    print(pd.DataFrame(rows).to_string(index=False, float_format="{:.4f}".format))
    if options.write:
        write_json(STORED, found)
    print(json.dumps({"background": options.background, "seed": options.seed}
                     | {f"{row['players']}, {row['output']}, {row['updates']} steps": round(row["r"], 4)
                        for row in rows}))


if __name__ == "__main__":
    main()
