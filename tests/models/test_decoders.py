"""A user's own networks and estimators: equal to scikit-learn by hand, refused by name where they do not fit."""

import threading

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from torch import nn

from calcium_decoding import models
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.models import loop, names, registry, training
from calcium_decoding.models.decoders import Estimator, Network, decoder_of
from calcium_decoding.models.heads import BINARY, Head
from calcium_decoding.models.training import TrainingSettings
from calcium_decoding.preprocessing.windows import WindowSet, WindowSpec

SPEC = WindowSpec(3, 2)
FOUR, ONE, TWO = Head("classes", 4), Head("continuous"), Head("continuous", 2)


class Small(nn.Module):
    """A network of one layer."""

    def __init__(self, n_roi, n_frames, n_outputs, hidden=0):
        super().__init__()
        self.out = nn.Linear(n_roi * n_frames, n_outputs)

    def forward(self, x):
        return self.out(x.flatten(1))


def windows(labels="classes", n=120, n_roi=3, seed=0):
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=(n, n_roi)).astype(np.float32)
    target = {"binary": (signal[:, 0] > 0).astype(np.uint8), "classes": 2 * (signal[:, 0] > 0) + (signal[:, 1] > 0),
              "continuous": (100 + 50 * signal[:, 0]).astype(np.float32)}[labels]
    return WindowSet.build([("a/s", signal, target, [(0, n)])], SPEC)


def built(decoder, head=BINARY, seed=5):
    return models.build(decoder, 3, SPEC.past_frames, seed, head, SPEC.length)


def fitted(decoder, head, data, **settings):
    made = built(decoder, head)
    training.fit(made, data, data, TrainingSettings(**{"epochs": 1, "seed": 5} | settings))
    return made


def stacked(data, offsets):
    return np.stack([data.frames[start + np.asarray(offsets)].ravel() for start in data.starts])


@pytest.mark.parametrize(("how", "offsets"), [
    ({}, [3]), ({"features": "window"}, range(6)), ({"features": "window", "every_frames": 2}, [1, 3, 5]),
    ({"features": lambda w: w.reshape(len(w), -1)}, range(6))])
def test_a_forest_is_what_scikit_learn_fits_by_hand_to_the_same_windows(how, offsets):
    data, other = windows(), windows(seed=1)
    found = training.predict(fitted(Estimator(RandomForestClassifier(10), **how), FOUR, data), other)
    hand = RandomForestClassifier(10, random_state=5).fit(stacked(data, offsets), data.labels)
    assert np.array_equal(found, hand.predict_proba(stacked(other, offsets)))


def test_a_regressor_gives_quantities_in_their_units():
    data, other = windows("continuous"), windows("continuous", seed=1)
    found = training.predict(fitted(RandomForestRegressor(10), ONE, data), other)
    hand = RandomForestRegressor(10, random_state=5).fit(stacked(data, [3]), data.labels)
    assert np.array_equal(found, hand.predict(stacked(other, [3])))
    exact = training.predict(fitted(LinearRegression(), ONE, data), other)
    assert np.allclose(exact, other.labels, rtol=1e-5)


def test_the_seed_becomes_every_random_state_that_is_none():
    inner = make_pipeline(StandardScaler(), RandomForestClassifier(3))
    made = built(Estimator(inner)).estimator
    assert made[-1].random_state == 5 and inner[-1].random_state is None
    assert built(Estimator(RandomForestClassifier(random_state=8))).estimator.random_state == 8


def test_an_estimator_that_only_decides_gives_0_and_1():
    data = windows()
    found = training.predict(fitted(RidgeClassifier(), FOUR, data), data)
    assert np.array_equal(found, np.eye(4)[RidgeClassifier().fit(stacked(data, [3]), data.labels).predict(
        stacked(data, [3]))])


@pytest.mark.parametrize("decoder", [RandomForestClassifier(5), LogisticRegression(), Small, "gru", "logistic"])
def test_a_class_that_training_lacks_has_a_column(decoder):
    data = windows()
    made = fitted(decoder, FOUR, data.some(data.labels != 2))
    found = training.predict(made, data)
    assert found.shape == (len(data), 4) and np.allclose(found.sum(axis=1), 1) and np.isfinite(found).all()
    if not isinstance(made, nn.Module):
        assert (found[:, 2] == 0).all()


@pytest.mark.parametrize(("estimator", "head", "found"), [
    (LinearRegression(), BINARY, "a regressor; expected a classifier"),
    (LogisticRegression(), TWO, "a classifier; expected a regressor")])
def test_an_estimator_of_the_wrong_kind_is_refused(estimator, head, found):
    with pytest.raises(ParameterError, match=f"{type(estimator).__name__}: found {found}"):
        built(estimator, head)


@pytest.mark.parametrize(("make", "said"), [
    (lambda: Estimator(RandomForestClassifier), "RandomForestClassifier.*an estimator with fit"),
    (lambda: Estimator(RandomForestClassifier(), "frames"), "'frames'.*'window'"),
    (lambda: Network(Small(1, 1, 1)), "found a Small; expected a class of torch.nn.Module"),
    (lambda: decoder_of(Small(1, 1, 1)), "found Small.*a class of torch.nn.Module"),
    (lambda: decoder_of(RandomForestClassifier), "RandomForestClassifier.*a scikit-learn estimator")])
def test_an_instance_for_a_class_and_a_class_for_an_instance_are_refused(make, said):
    with pytest.raises(ParameterError, match=f"(?s){said}"):
        make()


@pytest.mark.parametrize("features", [lambda w: w, lambda w: w[:-1, 0]])
def test_features_of_another_shape_are_refused(features):
    with pytest.raises(DataError, match=r"features of RandomForest.*: found shape .* expected shape \(115, d\)"):
        fitted(Estimator(RandomForestClassifier(), features), FOUR, windows())


def test_what_an_estimator_says_is_passed_on_with_its_name():
    with pytest.raises(DataError, match=r"estimator mine: found .*NaN"):
        fitted(Estimator(LogisticRegression(), lambda w: w[:, 0] * np.nan, "mine"), FOUR, windows())


class Wide(Small):
    def forward(self, x):
        return torch.cat([super().forward(x)] * 2, dim=1)


class Nan(Small):
    def forward(self, x):
        return super().forward(x) * float("nan")


class Frozen(Small):
    def forward(self, x):
        return super().forward(x).detach()


class Two(Small):
    def forward(self, x):
        return super().forward(x), x


class Bad(Small):
    def forward(self, x):
        return super().forward(x.transpose(1, 2)[:, :2])


class Needs(Small):
    def __init__(self, n_roi, depth):
        pass


class No:
    def __init__(self, n_roi):
        pass


@pytest.mark.parametrize(("network", "head", "found", "expected"), [
    (Wide, BINARY, r"shape \(2, 2\) for 2 windows", r"\(batch,\) or \(batch, 1\)"),
    (Wide, FOUR, r"shape \(2, 8\) for 2 windows", r"\(batch, 4\)"),
    (Wide, TWO, r"shape \(2, 4\) for 2 windows", r"\(batch, 2\)"), (Nan, FOUR, "NaN", "float tensor"),
    (Frozen, BINARY, "does not depend on any weight", "with a gradient"), (Two, BINARY, "tuple", r"\(batch,\)"),
    (Bad, BINARY, r"RuntimeError for windows of shape \(2, 6, 3\)", r"\(batch, n_frames, n_roi\)"),
    (Needs, BINARY, "TypeError.*depth", r"Needs\(n_roi\)"), (No, BINARY, "a No", "a torch.nn.Module")])
def test_a_network_that_does_not_fit_is_refused_with_its_name(network, head, found, expected):
    with pytest.raises(DataError, match=f"network {network.__name__}: found .*{found}.*; expected .*{expected}"):
        built(Network(network), head)


def test_a_network_that_holds_what_cannot_be_copied_is_used_or_refused_with_its_name():
    class Locked(Small):
        def __init__(self, n_roi, n_frames, n_outputs):
            super().__init__(n_roi, n_frames, n_outputs)
            self.lock = threading.Lock()

    try:
        built(Locked)
    except DataError as error:
        assert "Locked" in str(error)


@pytest.mark.parametrize("of", ["class", "options"])
def test_what_cannot_be_sent_is_refused_with_the_name_of_the_class(of):
    import cloudpickle

    lock = threading.Lock()

    class Holding(Small):
        def forward(self, x):
            with lock:
                return super().forward(x)

    with pytest.raises(DataError, match=r"network Holding: found .*(cannot be sent|lock)"):
        cloudpickle.dumps(Network(Holding) if of == "class" else Network(Holding, options={"hidden": lock}))


def test_a_loss_that_becomes_nan_names_the_network():
    class Late(Small):
        def forward(self, x):
            return super().forward(x) + (float("nan") if len(x) > 2 else 0.0)

    with pytest.raises(DataError, match="Late, epoch 0: found a loss that is NaN"):
        fitted(Late, FOUR, windows())


def test_validation_on_classes_that_training_lacks_goes_on():
    data = windows()
    made = built(Small, FOUR)
    training.fit(made, data.some(data.labels != 2), data.some(data.labels == 2), TrainingSettings(epochs=1))
    assert np.isfinite(training.predict(made, data)).all()


def test_arguments_go_by_name_and_options_win():
    seen = {}

    def make(n_outputs, n_frames=0, **rest):
        seen.update(n_outputs=n_outputs, n_frames=n_frames, **rest)
        return Small(3, 6, 4)

    built(Network(make, options={"depth": 2, "n_frames": 7}), FOUR)
    assert seen == {"n_outputs": 4, "n_frames": 7, "n_roi": 3, "depth": 2}


def test_a_seed_repeats_the_first_weights_and_leaves_the_generator_alone():
    state = torch.get_rng_state()
    one, same, other = (built(Small, FOUR, seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["module.out.weight"], other["module.out.weight"])


def test_quantities_are_learned_in_their_sd_about_their_mean():
    data = windows("continuous")
    made = fitted(Small, ONE, data, epochs=60, learning_rate=0.03)
    assert np.isclose(float(made.mean), data.labels.mean()) and np.isclose(float(made.sd), data.labels.std())
    x = torch.from_numpy(data.gather(np.arange(len(data))))
    inside = made.module(x).detach().numpy()[:, 0]
    found = training.predict(made, data)
    assert np.allclose(found, inside * data.labels.std() + data.labels.mean(), rtol=1e-5)
    assert np.corrcoef(found, data.labels)[0, 1] > 0.95


def test_weights_that_layers_share_are_kept(tmp_path):
    class Tied(nn.Module):
        def __init__(self, n_roi, n_outputs):
            super().__init__()
            self.a, self.b, self.out = nn.Linear(n_roi, n_roi), nn.Linear(n_roi, n_roi), nn.Linear(n_roi, n_outputs)
            self.b.weight = self.a.weight

        def forward(self, x):
            return self.out(self.b(self.a(x.mean(1))).relu())

    made, fresh = built(Tied, FOUR, 1), built(Tied, FOUR, 2)
    history = training.fit(made, windows(), windows(), TrainingSettings(epochs=1), checkpoint=tmp_path / "c")
    loop.save_weights(tmp_path / "w.safetensors", made, history)
    loop.load_weights(tmp_path / "w.safetensors", fresh)
    assert np.array_equal(*(training.predict(one, windows()) for one in (made, fresh)))


@pytest.fixture
def registered(monkeypatch):
    for where, name in ((registry, "OWN"), (names, "LABELS"), (names, "COLOURS")):
        monkeypatch.setattr(where, name, dict(getattr(where, name)))
    models.register("forest_of_mine", Estimator(RandomForestClassifier(5)), label="my forest", colour="#123456")
    return "forest_of_mine"


def test_a_registered_name_is_the_decoder(registered):
    data = windows()
    assert np.array_equal(training.predict(fitted(registered, FOUR, data), data),
                          training.predict(fitted(RandomForestClassifier(5), FOUR, data), data))
    assert (names.LABELS[registered], names.COLOURS[registered]) == ("my forest", "#123456")


@pytest.mark.parametrize("name", ["gru", "linear", "time_only", "cnn"])
def test_a_name_of_the_library_is_taken(registered, name):
    with pytest.raises(ParameterError, match=f"'{name}'.*not taken"):
        models.register(name, Small)
    with pytest.raises(ParameterError, match=f"one of gru, .*{registered}"):
        models.build("unheard_of", 3, 3, 0)


def test_a_hash_knows_what_matters_and_only_that():
    base = Network(Small)
    same = [Network(Small), decoder_of(Small)]
    other = [Network(Small, version="2"), Network(Small, options={"hidden": 1}), Network(Small, "renamed"),
             Network(Wide, "Small")]
    assert {one.digest() for one in same} == {base.digest()}
    assert len({one.digest() for one in (base, *other)}) == 5
    forest = [Estimator(RandomForestClassifier(5)), Estimator(RandomForestClassifier(6)),
              Estimator(RandomForestClassifier(5), version="2"), Estimator(RandomForestClassifier(5), "window"),
              Estimator(RandomForestClassifier(5), "window", every_frames=2),
              Estimator(RandomForestClassifier(5), lambda w: w[:, 0])]
    assert len({one.digest() for one in forest}) == 6
    assert forest[0].digest() == Estimator(RandomForestClassifier(5)).digest()


def test_a_partial_network_is_told_apart_by_what_is_set():
    from functools import partial

    few, many = (Network(partial(Small, hidden=n), name="partial") for n in (1, 2))
    assert few.digest() != many.digest() != Network(partial(Wide, hidden=2), name="partial").digest()


class Column:
    """Features with a setting."""

    def __init__(self, number):
        self.number = number

    def __call__(self, windows):
        return windows[:, :, self.number]


def test_settings_of_features_and_of_estimators_are_told_apart():
    first, second = (Estimator(LinearRegression(), Column(number)) for number in (0, 1))
    assert first.digest() != second.digest()
    many, other = ({0: np.arange(5000) + (np.arange(5000) == 2500) * x} for x in (0, 1))
    assert len({Estimator(LogisticRegression(class_weight=weight)).digest() for weight in (many, other)}) == 2


def test_an_estimator_that_uses_a_function_has_a_hash_without_its_address():
    def made():
        def twice(x):
            return 2 * x
        return make_pipeline(FunctionTransformer(twice), LinearRegression())

    both = [made(), made()]
    assert len({Estimator(one).digest() for one in both}) == 1
