"""Maps of trained decoders by every method, fold by fold: as trained, with shuffled weights, against random maps."""

from dataclasses import asdict, dataclass, field, replace

import numpy as np
import torch

from calcium_decoding.errors import ParameterError
from calcium_decoding.evaluation import convergence, metrics
from calcium_decoding.experiments import compare
from calcium_decoding.explain import attribution, deep_shap
from calcium_decoding.explain.shap_maps import background_rows, explained, spread

LOGISTIC_WINDOWS, CURVE_WINDOWS = 10_000, 300
STATES = "trained", "readout", "all"  # as trained; with what shuffled, see attribution.randomised


@dataclass(frozen=True)
class MapSettings:
    """How the decoder of a fold is mapped. ``n_windows``, ``n_background``: test windows to explain, spread evenly, and
    background windows, drawn by the seed. ``output``: "probability" or "logit". ``n_samples``: of expected gradients,
    for each window. ``shuffle``: also with shuffled weights. ``n_random``: random maps, plain and smooth, for the
    curves of deletion and insertion; 0: no curves. ``keep``: keep the Deep SHAP values of each window, summed over
    frames."""

    n_windows: int = 60
    n_background: int = 60
    output: str = "probability"
    n_samples: int = 50
    shuffle: bool = False
    n_random: int = 0
    keep: bool = False

    def __post_init__(self):
        if min(self.n_windows, self.n_background, self.n_samples) < 1 or self.n_random < 0:
            raise ParameterError("n_windows, n_background, n_samples, n_random", repr(self), "1 or more; n_random: 0 "
                                 "or more", "change these numbers")


@dataclass(frozen=True, eq=False)
class Examined:
    """The decoders of one fold and their maps.

    ``auc``, ``auc_logistic``: of the network, and of logistic regression on the labelled frame. ``maps``: by state
    (:data:`STATES`) and method (:data:`~calcium_decoding.explain.attribution.METHODS`): ``by_roi`` and ``by_frame``.
    ``curves``: of :func:`calcium_decoding.explain.attribution.curve_areas`, by method, of ``"random"`` maps and of
    ``"smooth METHOD"``; ``"whole"``: AUC with all ROIs. ``kept``: ``values``, Deep SHAP by window and ROI, and
    ``inputs``, mean of the ROI over the window. The rest as of :class:`calcium_decoding.explain.FoldMap`.
    """

    fold: str
    animal: str
    auc: float = 0.0
    auc_logistic: float = 0.0
    maps: dict = field(default_factory=dict)
    curves: dict = field(default_factory=dict)
    kept: dict = field(default_factory=dict)
    training: dict = field(default_factory=dict)
    reason: str = ""
    simulated: bool = False

    def by_roi(self, method, state="trained"):
        """Map by ROI, shape (n_roi,)."""
        return np.array(self.maps[state][method]["by_roi"])

    def by_frame(self, method):
        """Map by frame, shape (length,); None if the method uses one frame only."""
        found = self.maps["trained"][method]["by_frame"]
        return None if found is None else np.array(found)


def run(experiment, model="gru", asked=MapSettings(), store=None, jobs=None, label="maps"):
    """Map network and logistic regression on every fold: list of Examined; as :func:`.shap_maps.run`."""
    found = explained(_examined, experiment, model, "maps", store, jobs, label, asked=asdict(asked))
    return [Examined(**one, simulated=experiment.dataset.simulated) for one in found]


def run_null(plan, dataset, seed, model, asked, n_folds=0, n=0, store=None, jobs=None):
    """The same on the first ``n`` folds (0: all) of a null; see :func:`.compare.run_null`."""
    def work(experiment):
        return run(_first(experiment, n or None), model, _plain(asked), store, jobs, "labels of other sessions")

    return compare.refitted(work, plan, dataset, seed, n_folds=n_folds)


def other_seeds(experiment, model, asked, n, store=None, jobs=None):
    """The first ``n`` folds again, from other initial weights and with other random choices."""
    return run(_first(experiment, n, seed=experiment.training.seed + 1), model, _plain(asked), store, jobs,
               "other initial weights")


def other_folds(every, experiment, model, asked, n, store=None, jobs=None):
    """For each of the first ``n`` test groups a fold of ``every`` that tests it, not in the experiment, if any."""
    run_already = {fold.name for fold in experiment.split.folds}
    groups = list(dict.fromkeys(fold.test_group for fold in experiment.split.folds))[:n]
    others = [[f for f in every.split.folds if f.test_group == group and f.name not in run_already]
              for group in groups]
    folds = tuple(some[0] for some in others if some)
    if not folds:
        return []
    return run(replace(every, split=replace(every.split, folds=folds)), model, _plain(asked), store, jobs,
               "other folds")


def _first(experiment, n, **changes):
    return replace(experiment, split=replace(experiment.split, folds=experiment.split.folds[:n]),
                   training=replace(experiment.training, **changes))


def _plain(asked):
    """The maps as trained, and nothing else."""
    return replace(asked, shuffle=False, n_random=0, keep=False)


def _examined(fitted, asked):
    """AUCs, maps in every state, curves, and kept values, as JSON can hold them."""
    asked, seed = MapSettings(**asked), fitted.seed
    test, train = fitted.test, fitted.train.some(spread(len(fitted.train), LOGISTIC_WINDOWS))
    logistic = fitted.refit("logistic", train)
    found = {name: float(metrics.auc(test.labels, fitted.predict(test, decoder)))
             for name, decoder in (("auc", fitted.decoder), ("auc_logistic", logistic))}
    found["training"] = convergence.learning(fitted.history)
    network, weights = fitted.decoder.cpu(), logistic.estimator.coef_[0]
    windows = test.gather(spread(len(test), asked.n_windows))
    background = test.gather(background_rows(len(test), asked.n_background, seed))
    labelled = train.frames[train.starts + train.spec.past_frames]
    maps = found["maps"] = {}
    for state in STATES if asked.shuffle else STATES[:1]:
        same = state == "trained"
        of = network if same else attribution.randomised(network, state, seed)
        shown = weights if same else np.random.default_rng(seed).permutation(weights)
        both = attribution.of_network(of, windows, background, asked.output, asked.n_samples, seed)
        both |= attribution.of_weights(shown, labelled)
        maps[state] = {name: {"by_roi": one.by_roi.tolist(),
                              "by_frame": None if one.by_frame is None else one.by_frame.tolist()}
                       for name, one in both.items()}
    if asked.n_random:
        found["curves"] = _curves(network, test, background, maps["trained"], labelled, asked.n_random, seed)
    if asked.keep:
        values = deep_shap.values(network, windows, background, asked.output).values.sum(axis=1)
        found["kept"] = {"values": values.tolist(), "inputs": windows.mean(axis=1, dtype=float).tolist()}
    return found


def _curves(network, test, background, maps, frames, n_random, seed):
    """Curves of each method's map, of random maps, and of maps as smooth as each method's."""
    which = spread(len(test), CURVE_WINDOWS)
    windows, labels = test.gather(which), test.labels[which]
    if len(np.unique(labels)) < 2:
        return {}
    fill, rng, n_roi = background.mean(axis=(0, 1)), np.random.default_rng(seed), windows.shape[2]

    def predict(some):
        with torch.inference_mode():
            return network(torch.from_numpy(some)).double().numpy()

    def curve(of_maps):
        return np.mean([attribution.curve_areas(predict, windows, labels, fill, one) for one in of_maps],
                       axis=0).tolist()

    z = frames - frames.mean(axis=0, dtype=float)
    sd = z.std(axis=0)
    z = np.divide(z, sd, out=np.zeros_like(z), where=sd > 0)
    likeness = np.nan_to_num(z.T @ z / len(z))  # correlation of ROIs
    found = {"whole": float(metrics.auc(labels, predict(windows))),
             "random": curve([rng.permutation(n_roi) for _ in range(n_random)])}
    for name, one in maps.items():
        by_roi = np.array(one["by_roi"])
        found[name] = curve([by_roi])
        found[f"smooth {name}"] = curve(attribution.surrogates(by_roi, likeness, n_random, seed))
    return found
