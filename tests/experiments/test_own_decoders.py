"""A user's own behaviour and own decoders: planted effects are found, results are those of the parts by themselves."""

import importlib
import sys

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import balanced_accuracy_score, f1_score, roc_auc_score

import calcium_decoding as cd
from calcium_decoding import models
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.experiments import stored
from calcium_decoding.models import training

WINDOW = cd.WindowSpec(3, 3)
SETTINGS = cd.TrainingSettings(epochs=6, batch_size=64, learning_rate=0.01)


def recording(animal, seed, n=400):
    """Six ROIs: four of an odour, two of a position on a ring of 80 cm."""
    rng = np.random.default_rng(seed)
    odour = np.repeat(rng.integers(0, 4, n // 40), 40)
    position = np.cumsum(rng.normal(1, 1, n)) % 80
    angle = 2 * np.pi * position / 80
    signal = np.column_stack([2.0 * (odour[:, None] == range(4)), 2 * np.sin(angle), 2 * np.cos(angle)])
    behaviour = {"odour": 10 * odour, "lick": odour > 1, "position": position, "speed_cm_s": odour + 0.01 * position}
    return cd.Recording(signal + 0.4 * rng.normal(size=signal.shape), behaviour, 20.0, animal, "s")


@pytest.fixture(scope="module")
def dataset():
    return cd.Dataset("mine", tuple(recording(f"m{i}", i) for i in range(3)))


def experiment(dataset, task, decoders, **changes):
    return cd.Experiment(dataset, "animal_pairs", cd.Traces("raw", WINDOW), task, decoders, SETTINGS).with_(**changes)


class Small(torch.nn.Module):
    """The last hidden layer of a perceptron on the mean over frames."""

    def __init__(self, n_roi, n_outputs, hidden=16):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(n_roi, hidden), torch.nn.ReLU(),
                                          torch.nn.Linear(hidden, n_outputs))

    def forward(self, windows):
        """Outputs of windows."""
        return self.layers(windows.mean(dim=1))


def test_four_classes_are_decoded_and_scored_as_scikit_learn_scores_them(dataset):
    forest = cd.Estimator(RandomForestClassifier(10, random_state=0))
    e = experiment(dataset, cd.Classes("odour"), ["gru", "logistic", Small, forest])
    results = e.run(jobs=2)
    assert list(results.by_animal().columns) == ["gru", "logistic", "Small", "RandomForestClassifier"]
    for fold in results:
        decided = fold.predicted.argmax(axis=1)
        assert fold.classes == ("0", "10", "20", "30") and fold.kind == "classes"
        np.testing.assert_allclose(fold.predicted.sum(axis=1), 1)
        assert fold.scores["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(fold.labels, decided))
        assert fold.scores["macro_f1"] == pytest.approx(f1_score(fold.labels, decided, average="macro"))
        assert fold.scores["auc"] == pytest.approx(roc_auc_score(fold.labels, fold.predicted, multi_class="ovr"))
        assert fold.scores["balanced_accuracy"] > 0.8, fold.model
    table = results.table("auc")
    assert len(table) == 24 and set(table["animal"]) == {"m0", "m1", "m2"} and not table["simulated"].any()


def test_an_estimator_is_fitted_as_by_hand(dataset):
    e = experiment(dataset, cd.Binary("lick"), [cd.Estimator(LogisticRegression(C=0.1), "window", every_frames=3)])
    fold, job = e.run(jobs=1)[0], e.fold_task(e.split.folds[0], e.decoders[0])
    train, _, test = (windows.gather(np.arange(len(windows)))[:, ::3].reshape(len(windows), -1)
                      for windows in job.windows())
    by_hand = LogisticRegression(C=0.1).fit(train, job.windows()[0].labels)
    np.testing.assert_allclose(fold.predicted, by_hand.predict_proba(test)[:, 1], rtol=1e-6)
    own = cd.Estimator(LogisticRegression(), lambda windows: windows.max(axis=1), name="maxima")
    assert e.with_(decoders=[own]).run(jobs=1).by_animal()["maxima"].min() > 0.9
    with pytest.raises(ParameterError, match=r"a classifier, for a task that is binary"):
        e.with_(decoders=[Ridge()]).run(jobs=1)


def test_a_position_on_a_ring_is_decoded_as_an_angle(dataset):
    e = experiment(dataset, cd.Continuous("position", period=80), ["gru", "linear", Small], epochs=20)
    for fold in e.run(jobs=2):
        true, said = (e.task.quantities(x)["position"].to_numpy() for x in (fold.labels, fold.predicted))
        apart = [min(abs(a - b + turn) for turn in (-80, 0, 80)) for a, b in zip(true, said, strict=True)]
        assert fold.scores["circular_error_position"] == pytest.approx(np.mean(apart), rel=1e-5)
        assert fold.scores["circular_error_position"] < 6 and fold.scores["r2"] > 0.7, fold.model
        of = next(r for r in dataset.recordings if r.id == fold.recordings[0])
        np.testing.assert_allclose(true, of.behaviour["position"][fold.centre], atol=1e-3)


def test_several_quantities_have_scores_of_their_own(dataset):
    e = experiment(dataset, cd.Continuous("speed_cm_s", "position"), ["linear"])
    for fold in e.run(jobs=1):
        assert fold.predicted.shape == (len(fold.labels), 2)
        assert fold.scores["r2"] == pytest.approx((fold.scores["r2_speed_cm_s"] + fold.scores["r2_position"]) / 2)
        assert fold.scores["correlation_speed_cm_s"] == pytest.approx(
            np.corrcoef(fold.labels[:, 0], fold.predicted[:, 0])[0, 1])
    with pytest.raises(ParameterError, match=r"ridge_window.*1 at a time"):
        e.with_(decoders=["ridge_window"])


def test_processes_do_not_matter_to_a_class_of_ones_own(dataset):
    e = experiment(dataset, cd.Binary("lick"), [cd.Network(Small, options={"hidden": 4})])
    for a, b in zip(e.run(jobs=1), e.run(jobs=2), strict=True):
        np.testing.assert_array_equal(a.predicted, b.predicted)


SOURCE = '''
import torch
WIDTH = 4

def helper(x):
    return x.mean(dim=1)

class Own(torch.nn.Module):
    """A network."""
    def __init__(self, n_roi, n_outputs):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(n_roi, WIDTH), torch.nn.Linear(WIDTH, n_outputs))
    def forward(self, windows):
        return self.layers(helper(windows))
'''


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Makes the class Own of some source, in a module of its own."""
    monkeypatch.syspath_prepend(tmp_path)
    made = []

    def make(source):
        name = f"own_module_{len(made)}"
        made.append(name)
        (tmp_path / f"{name}.py").write_text(source)
        importlib.invalidate_caches()
        found = importlib.import_module(name).Own
        found.__module__ = "own"  # as if it were edited in place
        return found

    yield make
    for name in made:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("change", [("mean(dim=1)", "amax(dim=1)"), ("WIDTH = 4", "WIDTH = 5"),
                                    ("torch.nn.Linear(WIDTH, n_outputs)", "torch.nn.Linear(WIDTH, n_outputs, False)")])
def test_an_edited_network_is_trained_anew(dataset, own, tmp_path, monkeypatch, change):
    e = experiment(dataset, cd.Binary("lick"), [own(SOURCE)])
    first = e.run(store=tmp_path / "store", jobs=1)
    monkeypatch.setattr(training, "fit", None)  # training again would fail
    same = own(SOURCE.replace("A network.", "Another text.").replace("import torch", "# a comment\nimport torch"))
    again = e.with_(decoders=[same]).run(store=tmp_path / "store", jobs=1)
    np.testing.assert_array_equal(again[0].predicted, first[0].predicted)
    for edited in (own(SOURCE.replace(*change)), cd.Network(own(SOURCE), version="2")):
        with pytest.raises(TypeError):
            e.with_(decoders=[edited]).run(store=tmp_path / "store", jobs=1)


class Wide(Small):
    def forward(self, windows):
        return super().forward(windows)[:, :, None].expand(-1, -1, 3)


class Blind(Small):
    def forward(self, windows):
        return windows.mean(dim=(1, 2))


class Nothing(Small):
    def forward(self, windows):
        return super().forward(windows) * float("nan")


class Broken(Small):
    def forward(self, windows):
        return self.layers(windows[..., :2])


class Grows(Small):
    """Gives NaN after some steps."""

    def forward(self, windows):
        found = super().forward(windows)
        self.steps = getattr(self, "steps", 0) + self.training
        return found / (self.steps < 4) if self.steps else found


class Asks(Small):
    def __init__(self, n_neurons):
        super().__init__(n_neurons, 1)


class Holds(Small):
    """Holds what cannot travel."""

    lock = __import__("threading").Lock()


@pytest.mark.parametrize(("wrong", "says"), [
    (Wide, r"network Wide: found an output of shape \(2, 1, 3\) for 2 windows; expected .*\(batch,\) or \(batch, 1\)"),
    (Blind, "network Blind: found an output that does not depend on any weight"),
    (Nothing, "network Nothing: found NaN or infinite outputs"),
    (Broken, r"network Broken: found RuntimeError for windows of shape \(2, 7, 6\)"),
    (Grows, "Grows, epoch 0: found a loss that is NaN"),
    (Asks, "network Asks: found TypeError: .*n_neurons"),
    (lambda: "no module", "network <lambda>: found a str; expected a torch.nn.Module")])
def test_a_network_that_is_wrong_is_named_with_what_was_found(dataset, wrong, says):
    with pytest.raises(DataError, match=says):
        experiment(dataset, cd.Binary("lick"), [cd.Network(wrong)]).run(jobs=1)


def test_what_is_no_decoder_or_cannot_travel_is_refused(dataset, monkeypatch):
    with pytest.raises(ParameterError, match="give the class, without brackets"):
        cd.Network(Small(2, 1))
    with pytest.raises(ParameterError, match="wrap it"):
        experiment(dataset, cd.Binary("lick"), [3])
    with pytest.raises(DataError, match="network Holds: found a class that cannot be sent to a worker"):
        experiment(dataset, cd.Binary("lick"), [Holds]).run(jobs=2)


def test_a_registered_decoder_has_a_name_and_none_of_this_library_is_shadowed(dataset, monkeypatch):
    monkeypatch.setattr(models.registry, "OWN", {})
    models.register("small", Small, "small network", "#123456")
    assert experiment(dataset, cd.Binary("lick"), ["small"]).run(jobs=1)[0].model == "small"
    with pytest.raises(ParameterError, match="not taken by this library"):
        models.register("gru", Small)


def test_a_behaviour_that_is_not_what_the_task_says_is_refused(dataset):
    with pytest.raises(DataError, match=r"'odour' with values .*; expected 0 and 1"):
        experiment(dataset, cd.Binary("odour"), ["gru"])
    with pytest.raises(DataError, match="2 to 100"):
        experiment(dataset, cd.Classes("position"), ["gru"])
    with pytest.raises(DataError, match="values 20, 30; expected those of the classes: a 0, b 10"):
        experiment(dataset, cd.Classes("odour", {"a": 0, "b": 10}), ["gru"])
    with pytest.raises(DataError, match="expected 'whisking'"):
        experiment(dataset, cd.Continuous("whisking"), ["linear"])


def test_with_makes_a_named_split_anew_and_keeps_one_that_was_given(dataset):
    named = cd.Experiment(dataset, "blocked", cd.Traces("scaled", WINDOW), cd.Binary("lick"))
    wide = named.with_(window=cd.WindowSpec(12, 12), epochs=3)
    assert wide.split.hash() != named.split.hash() and wide.training.epochs == 3 and wide.audit()
    given = cd.Experiment(dataset, named.split, cd.Traces("scaled", WINDOW), cd.Binary("lick"))
    assert given.with_(window=cd.WindowSpec(2, 2)).split is named.split
    with pytest.raises(ParameterError, match="with_: found epoch;"):
        named.with_(epoch=3)


def test_conditions_side_by_side_by_label(dataset):
    e = experiment(dataset, cd.Binary("lick"), ["logistic", "logistic_window"])
    found = cd.compare({"short": e, "long": e.with_(window=cd.WindowSpec(8, 8))}, jobs=1)
    table = found.table().set_index("condition")
    assert list(table.index) == ["short, logistic", "short, logistic_window", "long, logistic", "long, logistic_window"]
    assert table.loc["short, logistic", "mean"] == pytest.approx(
        np.mean([fold.scores["auc"] for fold in e.run(jobs=1).of("logistic")]))


def test_settings_of_jobs_hold_for_a_session(dataset, tmp_path):
    before = stored.job_settings()
    try:
        cd.job_settings(store=tmp_path, jobs=1)
        experiment(dataset, cd.Binary("lick"), ["logistic"]).run()
    finally:
        cd.job_settings(**before)
    assert len(list(tmp_path.glob("*.npz"))) == 6


def test_simulated_travels_with_results_and_the_default_is_a_whole_program():
    e = cd.Experiment(cd.load_dataset("simulated-small"), training=cd.TrainingSettings(epochs=1, batch_size=128))
    e = e.with_(split=type(e.split)(e.split.regime, e.split.folds[:1], e.split.claim))
    results = e.run(jobs=1)
    assert results.simulated and results.table()["simulated"].all() and results[0].scores["auc"] > 0.6
