"""Looking into a simulated data set: the helpers of chapter 04 against worlds whose answer is known."""

import numpy as np
import pandas as pd
import pytest

from calcium_decoding import simulation
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.evaluation import cards
from calcium_decoding.evaluation.cards import ResultCard, Score
from calcium_decoding.experiments.folds import FoldResult
from calcium_decoding.models.loop import History
from calcium_decoding.plotting import brain, style
from calcium_decoding.simulation import widefield
from decoding_book.chapters import simulated_truth
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def session():
    return widefield.simulate_session(widefield.SimulationSettings(frames_per_session=900, animals=1, seed=4), 1, 0)


@pytest.fixture(scope="module")
def movie(session):
    return widefield.render(session)


def test_a_session_of_the_manifest_is_the_one_in_the_files():
    simulation.ensure("simulated-small")
    session = simulated_truth.session_of("simulated-small", 2, 1)
    from calcium_decoding.data import readers

    recording = readers.load("simulated-small").of_animal("mouse 2")[1]
    np.testing.assert_array_equal(session.signal(), recording.signal)
    assert session.name == recording.session


@pytest.mark.parametrize(("name", "animal", "expected"), [
    ("isfn-widefield", 1, "simulated"), ("simulated-small", 5, "smaller numbers")])
def test_what_is_not_simulated_has_no_truth(name, animal, expected):
    with pytest.raises(ParameterError, match=expected):
        simulated_truth.session_of(name, animal, 0)


def test_the_two_views_agree_and_a_wrong_movie_does_not(session, movie):
    views, traces = simulated_truth.two_views(session, movie)
    assert traces.shape == (900, 50) and views["r"].median() > 0.97
    assert (views["slope"] - 1).abs().max() < 0.1
    r = np.array([np.corrcoef(traces[:, i], session.signal()[:, i])[0, 1] for i in range(50)])
    np.testing.assert_allclose(views["r"], r, atol=1e-3)
    backwards, _ = simulated_truth.two_views(session, movie[::-1])
    assert backwards["r"].median() < 0.5


def planted(run, change):
    """A movie of ones that grows by ``change`` while the animal runs, with its session."""
    settings = widefield.SimulationSettings(frames_per_session=len(run), animals=1)
    session = widefield.simulate_session(settings, 1, 0)
    object.__setattr__(session, "speed_cm_s", 20.0 * run)
    movie = np.ones((len(run), 128, 128), np.float32) * (1 + change * run[:, None, None])
    return session, movie


def test_the_average_around_onsets_is_the_planted_change():
    run = np.zeros(600)
    run[100:300] = run[380:400] = run[450:590] = 1  # the second bout is too short, the third has 2 s of rest no more
    session, movie = planted(run, 0.05)
    changes, n = simulated_truth.onset_average(session, movie, (-1.0, 1.0))
    assert n == 1
    np.testing.assert_allclose(changes[0], 0, atol=1e-5)
    np.testing.assert_allclose(changes[1], 5, atol=1e-3)


def test_a_session_without_an_onset_is_refused():
    session, movie = planted(np.ones(600), 0.0)
    with pytest.raises(DataError, match="rest"):
        simulated_truth.onset_average(session, movie, (0.0,))


def test_worlds_score_as_they_say(monkeypatch, tmp_path):
    worlds = {name: widefield.WORLDS[name] for name in ("no_link", "drift_only", "single_area", "motion_artefact_only")}
    monkeypatch.setattr(widefield, "WORLDS", worlds)
    table = simulated_truth.world_scores(3, store=tmp_path, jobs=1)
    means = table.groupby(["world", "model"])["auc"].mean()
    assert abs(means["no_link", "logistic"] - 0.5) < 0.08
    assert means["single_area", "logistic"] > 0.7
    assert means["drift_only", "time_only"] > 0.6
    assert means["motion_artefact_only", "logistic"] > 0.55  # and no neuron follows running there
    assert set(means.index) == {(w, m) for w in worlds for m in ("logistic", "time_only")}


def fold(model, auc):
    empty = np.zeros(0)
    given = {"fold": "f", "test_group": "g", "model": model, "scores": {"auc": auc}, "reason": "", "history": History(),
             "recordings": (), "recording": empty, "centre": empty, "labels": empty, "predicted": empty}
    rest = {name: empty for name in FoldResult.__dataclass_fields__ if name not in given}
    return FoldResult(**given, **rest)


def test_calibration_holds_scores_against_published_figures():
    settings = widefield.SimulationSettings(frames_per_session=3000, sessions_per_animal=1, animals=2)
    dataset = widefield.dataset(settings)
    scores = simulated_truth.calibration_scores(
        dataset, [fold("gru", 0.9), fold("gru", 1.0), fold("logistic", 0.7)], [fold("gru", 0.6)])
    table = simulated_truth.calibration_table(scores).set_index("quantity")
    assert table.loc["AUC, GRU on a window", "simulated"] == pytest.approx(0.95)
    assert table.loc["AUC, GRU on a window", "published, real mice"] == 0.974
    assert table.loc["AUC, GRU, baseline not subtracted", "simulated"] == 0.6
    assert table.loc["running frames, mouse 1", "simulated"] == pytest.approx(dataset.recordings[0].run.mean())
    assert pd.isna(table.loc["running frames, mouse 5", "simulated"])  # two mice only
    assert table.loc["the same, SD over ROIs", "simulated"] > 0


def test_the_stored_calibration_is_within_what_was_wanted():
    """The larger simulation that ships with the book: read back, it holds every bar of the calibration."""
    card = cards.stored_card("04_simulated_truth")
    assert isinstance(card, ResultCard) and card.simulated and card.dataset == "simulated-large"
    table = simulated_truth.calibration_table(card.scores, card).set_index("quantity")["simulated, large"]
    published = simulated_truth.calibration_table(card.scores).set_index("quantity")["published, real mice"]
    for mouse in range(1, 6):
        assert abs(table[f"running frames, mouse {mouse}"] - published[f"running frames, mouse {mouse}"]) < 0.10
    assert 0.18 <= table["correlation of ROIs with running, mean"] <= 0.24
    assert 0.75 <= table["AUC, logistic on one frame"] <= 0.85
    assert 0.95 <= table["AUC, GRU on a window"] <= 0.985
    assert table["AUC, GRU, baseline not subtracted"] < table["AUC, GRU on a window"]
    assert (ROOT / "book" / "stored" / "04_simulated_truth.card.json").exists()


def test_pictures_say_that_they_are_simulated(session, movie):
    _, axes = style.panels(3)
    brain.show_image(session.anatomy.resting, session.recording(), axes[0], "counts")
    simulated_truth.parcel_map(session.anatomy, axes[1])
    simulated_truth.strip(np.zeros((1, 128, 128)) + 1.0, (0.5,), axes[2:], "%", session.anatomy.brain)
    for ax in axes:
        assert "simulated" in [t.get_text() for t in ax.texts]
    _, axes = style.stack(7)
    simulated_truth.component_traces(session, 8, 0.0, 20.0, axes)
    drawn = [ax.lines[0].get_ydata() for ax in axes]
    np.testing.assert_allclose(sum(drawn[:-1]), drawn[-1], atol=1e-9)


def test_the_score_of_a_world_is_drawn_where_it_is():

    rows = [{"world": w, "model": m, "fold": "f", "auc": 0.3 + 0.05 * i}
            for i, w in enumerate(widefield.WORLDS) for m in ("logistic", "time_only")]
    _, (ax,) = style.panels(1)
    simulated_truth.plot_scenarios(pd.DataFrame(rows), ax)
    means = sorted(line.get_xdata()[0] for line in ax.lines if line.get_marker() == "|")
    np.testing.assert_allclose(means, sorted(r["auc"] for r in rows))


def test_scores_without_a_kind_of_folds_leave_a_blank():
    table = simulated_truth.calibration_table([Score(model="gru", metric="auc", scope="mean of 2 folds", value=0.9)])
    assert table["simulated"].notna().sum() == 1
