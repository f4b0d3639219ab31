"""Looking into a simulated data set: the helpers of chapter 04 against worlds whose answer is known."""

import numpy as np
import pytest

from calcium_decoding import simulation
from calcium_decoding.data import published
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.evaluation import cards
from calcium_decoding.evaluation.cards import ResultCard
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


def test_the_stored_calibration_is_within_what_was_wanted():
    """The larger simulation that ships with the book: read back, it holds every bar of the calibration."""
    card = cards.stored_card("04_simulated_truth")
    assert isinstance(card, ResultCard) and card.simulated and card.dataset == "simulated-large"
    table = card.table()
    means = table[table["scope"].str.startswith("mean of ")].set_index(["model", "metric"])["value"]
    for mouse in range(1, 6):
        assert abs(means[f"mouse {mouse}", "run_share"] - published.run_share(mouse)) < 0.10
    assert 0.18 <= means["ROI", "pearson_r"] <= 0.25
    assert (ROOT / "book" / "stored" / "04_simulated_truth.card.json").exists()


def test_the_calibration_table_says_what_was_met_by_the_rule_and_what_was_set():
    table = simulated_truth.calibration().set_index("condition")
    card = cards.stored_card("10_roi_rnn")
    gru = next(one for one in card.comparisons["networks"] if one.name == "gru")
    of_folds = {}
    for fit in gru.fits:
        of_folds.setdefault(fit.fold, []).append(fit.scores["auc"])
    means = [np.mean(values) for values in of_folds.values()]
    assert table.loc["gru", "simulated"] == f"{np.mean(means):.3f} ± {np.std(means, ddof=1):.3f}"
    theirs, sd = published.reported("roi_rnn_architecture", "GRU", "preprocessed")[:2]
    assert (table.loc["gru", "met"] == "met") == (abs(np.mean(means) - theirs) <= sd)
    assert table.loc["gru", "set"] == "set" and table.loc["lstm", "set"] == ""
    falling = [fit.train_loss[-1] < 0.95 * min(fit.train_loss[:-1]) for one in card.comparisons["networks"]
               if one.name == "lstm" for fit in one.fits]
    assert (table.loc["lstm", "met"] == "not converged") == any(falling)
