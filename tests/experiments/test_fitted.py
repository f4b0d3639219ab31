"""Fitted decoders, kept, saved and applied: they give what the fold gave, and refuse what is not as in training."""

import importlib.util
import itertools
import json
import pickle
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import calcium_decoding as cd
from calcium_decoding import models
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.experiments import fitted, stored
from calcium_decoding.models import names, registry, training
from calcium_decoding.preprocessing.windows import WindowSpec

ATLAS = ("M1", "M2", "S1", "V1", "RSC", "PPC")
COUNT = itertools.count()
LICK, SPEED, ODOUR = cd.Binary("lick"), cd.Continuous("speed_cm_s"), cd.Classes("odour")
ANGLE, BOTH = cd.Continuous("position", period=80), cd.Continuous("speed_cm_s", "position")


@pytest.fixture(autouse=True)
def no_settings_of_the_session():
    before = stored.job_settings(store=None, jobs=1)
    yield
    stored.job_settings(**before)


def recording(animal, seed, n=240, **how):
    rng = np.random.default_rng(seed)
    odour = np.repeat(rng.permutation(np.arange(n // 20) % 4), 20)
    position = np.cumsum(rng.normal(1, 1, n)) % 80
    angle = 2 * np.pi * position / 80
    signal = np.column_stack([2.0 * (odour[:, None] == range(4)), 2 * np.sin(angle), 2 * np.cos(angle)])
    behaviour = {"odour": odour, "lick": odour > 1, "position": position, "speed_cm_s": odour + 0.01 * position}
    return cd.Recording(5 + 3 * (signal + 0.4 * rng.normal(size=signal.shape)), behaviour, 20.0, animal, "s",
                        **{"roi_names": ATLAS} | how)


@pytest.fixture(scope="module")
def dataset():
    return cd.Dataset("mine", tuple(recording(f"m{i}", i) for i in range(3)))


class Small(torch.nn.Module):
    """A perceptron on the mean over frames."""

    def __init__(self, n_roi, n_outputs, hidden=8):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(n_roi, hidden), torch.nn.ReLU(), torch.nn.BatchNorm1d(hidden),
                                          torch.nn.Dropout(0.1), torch.nn.Linear(hidden, n_outputs))

    def forward(self, windows):
        """Outputs of windows."""
        return self.layers(windows.mean(dim=1))


def experiment(dataset, task, decoder="gru", recipe="scaled", window=None, **changes):
    e = cd.Experiment(dataset, "animal_pairs", cd.Traces(recipe, window or WindowSpec(4, 2)), task, [decoder],
                      cd.TrainingSettings(epochs=2, batch_size=32, learning_rate=0.01))
    return e.with_(**changes) if changes else e


@pytest.mark.parametrize(("gives", "found"), [
    (lambda fitted: np.zeros(3), "a ndarray"), (lambda fitted: {"map": np.zeros(3)}, "type ndarray"),
    (lambda fitted: {"auc": np.nan}, "Out of range"), (lambda fitted: None, "a NoneType"),
])
def test_work_that_json_cannot_hold_is_refused(dataset, tmp_path, gives, found):
    for store in (None, tmp_path):
        with pytest.raises(DataError, match=rf"gave.*{found}.*tolist"):
            experiment(dataset, LICK, "logistic").map(gives, "logistic", name="mine", store=store)


def test_a_window_of_another_type_is_refused(dataset):
    with pytest.raises(ParameterError, match="found 3; expected a WindowSpec"):
        experiment(dataset, LICK, "logistic").with_(window=3)


def bare(of, **changes):
    """A recording without any behaviour."""
    return replace(of, **{"behaviour": {}} | changes)


CASES = [("gru", ODOUR), ("gru", SPEED), ("gru", LICK), ("logistic", LICK), ("logistic", ODOUR),
         ("logistic_window", LICK), ("logistic_window", ODOUR), ("ridge_window", SPEED), ("linear", SPEED),
         ("linear", BOTH), ("linear", ANGLE), ("gru", ANGLE), ("speed_gru_scaled", SPEED), (Small, ODOUR),
         (Small, SPEED), (Small, LICK), (Small, BOTH), (cd.Network(Small, options={"hidden": 3}), ANGLE)]
FOREST = cd.Estimator(RandomForestClassifier(5), "window", every_frames=2)
LINEAR = cd.Estimator(make_pipeline(StandardScaler(), LogisticRegression()), name="scaled_logistic")


@pytest.mark.parametrize(("decoder", "task"), [*CASES, (FOREST, ODOUR), (LINEAR, LICK)],
                         ids=lambda x: getattr(x, "name", getattr(x, "__name__", x)))
def test_a_saved_decoder_gives_what_the_fold_gave(dataset, tmp_path, monkeypatch, decoder, task):
    if isinstance(decoder, cd.Estimator):
        pytest.importorskip("skops")
    e = experiment(dataset, task, decoder)
    split = replace(e.split, folds=e.split.folds[:1])
    fold = e.with_(split=split).run(store=tmp_path)[0]
    own = not isinstance(decoder, str)
    one = e.fitted(decoder, 0, tmp_path)
    (test,) = (r for r in dataset.recordings if r.id == fold.recordings[0])
    table = one.predict(bare(test))
    assert np.array_equal(table["frame"], fold.centre) and np.allclose(table["time_s"], fold.centre / 20)
    if task.kind == "binary":
        expected = {"probability": fold.predicted}
    elif task.kind == "classes":
        expected = {f"probability_{name}": fold.predicted[:, i] for i, name in enumerate(fold.classes)}
        assert list(table["class"]) == [fold.classes[i] for i in fold.predicted.argmax(axis=1)]
    else:
        expected = dict(one.task.quantities(fold.predicted))
    for name, values in expected.items():
        np.testing.assert_allclose(table[name], values, rtol=1e-6, atol=1e-9)
    assert one.provenance["scores"][task.main_score] == pytest.approx(fold.scores[task.main_score], rel=1e-6)
    assert one.provenance["trained_on"] == sorted(e.split.folds[0].ranges("train"))

    path = tmp_path / "kept" / "decoder.safetensors"
    one.save(path)
    with monkeypatch.context() as nothing_is_executed:
        for where, name in ((pickle, "load"), (pickle, "loads"), (torch, "load"), (pickle, "Unpickler")):
            nothing_is_executed.setattr(where, name, None)
        loaded = fitted.load_decoder(path, decoder if own else None)
        pd.testing.assert_frame_equal(loaded.predict(bare(test)), table, check_exact=True)
    with safe_open(path, framework="pt") as file:
        about = json.loads(json.loads(file.metadata()["calcium_decoding"])["decoder"])
        assert all(name.startswith(("decoder/", "step0/")) for name in file.keys())
    assert about["provenance"] == loaded.provenance == json.loads(json.dumps(one.provenance))
    loaded.save(tmp_path / "again.safetensors")
    assert isinstance(decoder, cd.Estimator) or (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("on", ["training frames", "each recording"])
def test_a_decoder_of_principal_components_is_kept_with_them(dataset, tmp_path, on):
    e = experiment(dataset, ODOUR, "gru", {"name": "scaled", "components": {"n": 3, "fitted_on": on}})
    fold = e.with_folds(1).run(store=tmp_path)[0]
    one = e.fitted("gru", 0, tmp_path)
    one.save(tmp_path / "kept.safetensors")
    (test,) = (r for r in dataset.recordings if r.id == fold.recordings[0])
    table = fitted.load_decoder(tmp_path / "kept.safetensors").predict(bare(test))
    pd.testing.assert_frame_equal(one.predict(bare(test)), table, check_exact=True)
    np.testing.assert_allclose(table[f"probability_{fold.classes[0]}"], fold.predicted[:, 0], rtol=1e-5)


@pytest.fixture(scope="module")
def kept(dataset, tmp_path_factory):
    """A fitted decoder, its file, and the recording it was tested on."""
    e, path = experiment(dataset, ODOUR, Small), tmp_path_factory.mktemp("kept") / "small.safetensors"
    one = e.fitted(Small, 0)
    one.save(path)
    return one, path, next(r for r in dataset.recordings if r.animal == e.split.folds[0].test_group)


def test_rois_of_an_atlas_are_found_in_any_order_among_others(kept):
    one, _, test = kept
    order = [3, 0, 5, 1, 4, 2]
    signal = np.insert(test.signal[:, order], 2, 1e3 * np.arange(test.n_frames), axis=1)
    shuffled = bare(test, signal=signal, roi_names=tuple(np.insert(np.array(ATLAS)[order], 2, "surplus")))
    pd.testing.assert_frame_equal(one.predict(shuffled), one.predict(bare(test)), check_exact=True)


@pytest.mark.parametrize(("changes", "says"), [
    ({"rate_hz": 30.0}, "30 frames a second; expected 20"), ({"signal_unit": "z"}, "'z'; expected 'dF/F"),
    ({"roi_names": ("M1", "M2", "S1", "V1", "RSC", "A1")}, "no ROI PPC; expected .*M1, M2, S1, V1, RSC"),
    ({"roi_names": ()}, "no ROI M1, M2, S1, V1, RSC")])
def test_a_recording_that_is_not_as_in_training_is_refused_with_what_differs(kept, changes, says):
    one, _, test = kept
    with pytest.raises(DataError, match=f"recording {test.id}: found .*{says}"):
        one.predict(bare(test, **changes))


def test_a_rate_within_rounding_is_the_same(kept):
    one, _, test = kept
    assert one.predict(bare(test, rate_hz=20.05)).drop(columns="time_s").equals(
        one.predict(bare(test)).drop(columns="time_s"))


def test_numbered_rois_are_not_matched_by_their_numbers(dataset):
    numbered = cd.Dataset("n", tuple(replace(r, roi_names=()) for r in dataset.recordings))
    one, first = experiment(numbered, LICK, "logistic").fitted("logistic", 0), numbered.recordings[0]
    assert len(one.predict(bare(first))) == first.n_frames - 6
    for other in (bare(first, roi_names=("2", "1", "3", "4", "5", "6")),
                  bare(first, signal=first.signal[:, [*range(6), 0]], roi_names=()),
                  bare(first, signal=first.signal[:, :5], roi_names=())):
        with pytest.raises(DataError, match="ROI"):
            one.predict(other)


def test_a_recording_too_short_for_a_window_is_refused(kept):
    one, _, test = kept
    with pytest.raises(DataError, match=r"7 \(window of 7"):
        one.predict(bare(test, signal=test.signal[:6]))


def test_the_decoded_frame_is_the_labelled_one_and_every_frame_is_decoded(dataset):
    e = experiment(dataset, LICK, "logistic", window=WindowSpec(4, 2, stride=3, label_shift_frames=5))
    one, fold = e.fitted("logistic", 0), e.run()[0]
    (test,) = (r for r in dataset.recordings if r.id == fold.recordings[0])
    table = one.predict(bare(test)).set_index("frame")
    assert list(table.index) == list(range(9, 240))
    np.testing.assert_allclose(table.loc[fold.centre + 5, "probability"], fold.predicted)
    assert np.array_equal(test.behaviour["lick"][fold.centre + 5], fold.labels)


class Other(Small):
    pass


@pytest.mark.parametrize(("source", "says"), [
    (None, "a decoder of your own, Small; expected what it was made from"), (Other, "made from another Other"),
    (cd.Network(Small, options={"hidden": 9}), "made from another Small"), ("gru", "made from another gru"),
    (cd.Network(Other, "Small"), "made from another Small"), (cd.Network(Small, version="2"), "another Small")])
def test_a_class_that_is_not_the_one_saved_is_refused(kept, source, says):
    with pytest.raises(DataError, match=says) as refused:
        fitted.load_decoder(kept[1], source)
    assert "damaged" not in str(refused.value)


@pytest.mark.parametrize("damage", ["missing", "empty", "text", "half", "header", "other", "tensor"])
def test_a_file_that_is_damaged_or_another_is_refused(kept, tmp_path, damage):
    path, content = tmp_path / "d.safetensors", kept[1].read_bytes()
    with safe_open(kept[1], framework="pt") as file:
        about, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}
    if damage == "other":
        save_file(tensors, path)
    elif damage == "tensor":
        save_file({name: value for name, value in tensors.items() if "layers.0" not in name}, path, metadata=about)
    elif damage != "missing":
        path.write_bytes({"empty": b"", "text": b"no such thing\n" * 9, "half": content[: len(content) * 3 // 4],
                          "header": content.replace(b"task", b"tusk", 1)}[damage])
    with pytest.raises(DataError, match=str(path)):
        fitted.load_decoder(path, Small)


def test_decoders_that_cannot_be_kept_say_so(dataset, tmp_path):
    with pytest.raises(ParameterError, match="time_only"):
        experiment(dataset, LICK, "time_only").fitted("time_only", 0).save(tmp_path / "x")
    if importlib.util.find_spec("skops") is None:
        with pytest.raises(ParameterError, match="skops"):
            experiment(dataset, LICK, FOREST).fitted(FOREST, 0).save(tmp_path / "x")
    assert not list(tmp_path.iterdir())


def mean_of(one, scale):
    return {"mean": scale * float(one.predict(one.test).mean()), "n": len(one.test)}


@pytest.mark.parametrize("decoder", ["gru", Small])
def test_a_second_analysis_trains_nothing_and_gives_what_it_gives_without_a_store(dataset, tmp_path, monkeypatch,
                                                                                  decoder):
    e = experiment(dataset, LICK, decoder)
    without = e.map(mean_of, decoder, name="mean", scale=2)
    folds = e.run(store=tmp_path)
    monkeypatch.setattr(training, "fit", None)
    found = e.map(mean_of, decoder, name="mean", store=tmp_path, scale=2)
    assert found == without == [{"fold": fold.fold, "animal": fold.test_group, "reason": "", "n": len(fold.labels),
                                 "mean": 2 * float(fold.predicted.mean())} for fold in folds]
    assert e.map(mean_of, decoder, name="mean", store=tmp_path, scale=3)[0]["mean"] == 1.5 * found[0]["mean"]
    monkeypatch.setattr(fitted, "fitted_fold", None)  # now it is read
    assert e.map(mean_of, decoder, name="mean", store=tmp_path, scale=2) == found
    with pytest.raises(TypeError):
        e.map(mean_of, decoder, name="other", store=tmp_path, scale=2)


def work_of(source, tmp_path):
    path = tmp_path / f"work{next(COUNT)}.py"
    path.write_text(source)
    spec = importlib.util.spec_from_file_location("own_work", path)
    module = sys.modules["own_work"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.work


def test_an_edited_analysis_is_run_anew(dataset, tmp_path, monkeypatch):
    source = "def helped(n):\n    return n\n\ndef work(one):\n    return {'n': helped(len(one.test))}\n"
    e, found = experiment(dataset, LICK, "logistic"), []
    for text in (source, source.replace("return n\n", "return n + 1  # one more\n"), "# a comment\n\n" + source):
        work = work_of(text, tmp_path)
        found.append([one["n"] for one in e.map(work, "logistic", name="n", store=tmp_path / "store")])
    monkeypatch.delitem(sys.modules, "own_work")
    assert found[0] == found[2] == [234] * 6 and found[1] == [235] * 6
    assert len(list((tmp_path / "store").glob("*.n.json"))) == 12


def test_a_fold_without_scores_has_a_reason_and_no_analysis(dataset):
    first, *others = dataset.recordings
    still = replace(first, behaviour={"lick": np.zeros(first.n_frames)})
    e = experiment(cd.Dataset("still", (still, *others)), LICK, "logistic")
    found = e.map(mean_of, "logistic", name="x", scale=1)
    assert [bool(one["reason"]) for one in found] == [not fold.scores for fold in e.run()]
    assert {("mean" in one) == (not one["reason"]) for one in found} == {True}
    with pytest.raises(DataError, match="only rest"):
        e.fitted("logistic", next(i for i, one in enumerate(found) if one["reason"]))


def test_another_decoder_on_the_windows_of_a_fold_is_that_of_its_own_run(dataset):
    e = experiment(dataset, LICK, "gru")
    one = fitted.fitted_fold(e.fold_task(e.split.folds[0], "gru"))
    again = one.predict(one.test, one.refit("logistic", one.train))
    np.testing.assert_allclose(again, e.with_(decoders=["logistic"]).run()[0].predicted, rtol=1e-6)


def test_a_decoder_of_one_recording_fits_that_recording_though_others_have_other_rois(dataset):
    first, other = dataset.recordings[:2]
    fewer = replace(other, signal=other.signal[:, :5], roi_names=ATLAS[:5])
    e = cd.Experiment(cd.Dataset("two", (first, fewer)), "blocked", cd.Traces("scaled", WindowSpec(2, 2)), SPEED,
                      ["linear"])
    one = e.fitted("linear", len(e.split.folds) - 1)
    assert one.roi_names == ATLAS[:5] and len(one.predict(bare(fewer))) == fewer.n_frames - 4


# What an experiment is made of, and what may change.


@pytest.mark.parametrize("recipe", ["published", "scaled"])
@pytest.mark.parametrize("task", [ANGLE, BOTH])
def test_quantities_are_decoded_whatever_the_preprocessing(dataset, recipe, task):
    folds = experiment(dataset, task, "linear", recipe).run()
    assert min(fold.scores["r2"] for fold in folds) > 0.4


def test_a_named_split_is_made_anew_after_any_number_of_changes(dataset):
    e = cd.Experiment(dataset, "blocked", cd.Traces("scaled", WindowSpec(2, 2)), LICK, ["logistic"])
    at_once, one_by_one = e.with_(epochs=2, window=WindowSpec(9, 9)), e.with_(epochs=2).with_(window=WindowSpec(9, 9))
    assert at_once.split.hash() == one_by_one.split.hash() != e.split.hash()


def test_what_was_chosen_by_the_data_is_chosen_anew_with_other_data(dataset):
    def fresh(data):
        return cd.Experiment(data, "animal_pairs", cd.Traces(window=WindowSpec(2, 2)), ODOUR, ["logistic"])

    e = fresh(dataset)
    other = cd.Dataset("other", tuple(replace(r, rate_hz=10.0, behaviour={"odour": 4 + r.behaviour["odour"]})
                                      for r in dataset.recordings))
    changed = e.with_(dataset=other)
    assert changed.recipe == fresh(other).recipe and changed.task == fresh(other).task
    blocked = e.with_(split="blocked")
    assert blocked.recipe["name"] == "scaled" and blocked.audit()


def test_two_decoders_of_one_name_are_kept_apart_or_refused(dataset):
    two = [cd.Network(Small, options={"hidden": n}) for n in (2, 8)]
    try:
        found = experiment(dataset, LICK).with_(decoders=two).run().by_animal()
    except ParameterError as error:
        assert "Small" in str(error)
    else:
        assert found.shape[1] == 2


def test_a_registered_decoder_is_compared_under_its_name(dataset, monkeypatch):
    for where, name in ((registry, "OWN"), (names, "LABELS"), (names, "COLOURS")):
        monkeypatch.setattr(where, name, dict(getattr(where, name)))
    models.register("small_of_mine", Small)
    e = experiment(dataset, LICK, "small_of_mine")
    assert set(e.run().table()["decoder"]) == {"small_of_mine"}
    assert list(cd.compare({"mine": e}).table()["folds"]) == [6]


@pytest.mark.parametrize("values", [(0.1, 0.2), (np.int64(0), np.int64(1))])
def test_classes_may_be_any_numbers(dataset, tmp_path, values):
    coded = cd.Dataset("c", tuple(replace(r, behaviour={"c": np.where(r.behaviour["lick"] > 0, *values[::-1])})
                                  for r in dataset.recordings))
    e = experiment(coded, cd.Classes("c", dict(zip(("low", "high"), values, strict=True))), "logistic")
    assert e.run().by_animal()["logistic"].min() > 0.8
    e.fitted("logistic", 0).save(tmp_path / "x.safetensors")
    assert set(fitted.load_decoder(tmp_path / "x.safetensors").predict(coded.recordings[0])["class"]) == {"low", "high"}


def test_a_fold_that_validates_on_a_class_of_its_own_is_trained(dataset):
    first, second, third = dataset.recordings
    odour = np.where(np.arange(240) < 120, 0, 1)
    recordings = (replace(first, behaviour={"odour": odour}), replace(second, behaviour={"odour": odour}),
                  replace(third, behaviour={"odour": np.full(240, 2)}))
    found = experiment(cd.Dataset("x", recordings), ODOUR, Small).run()
    assert sum(bool(fold.scores) for fold in found) == 2


def test_the_decoders_of_two_folds_are_scaled_each_by_its_own_training_frames(dataset):
    e = experiment(dataset, LICK, "logistic", "scaled")
    first = e.fitted("logistic", 0)
    before = first.predict(bare(dataset.recordings[0]))
    e.fitted("logistic", 5)  # trained on another animal
    assert first.predict(bare(dataset.recordings[0])).equals(before)
