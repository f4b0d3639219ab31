"""Scores of animals among scores of nulls."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from calcium_decoding.data.recording import Dataset, Recording
from calcium_decoding.evaluation import cards, linear_null
from calcium_decoding.experiments.tasks import Binary
from decoding_book.chapters import chance, null_level
from tests.book.chapters.test_null_level import row_of

RATE_HZ = 30.0


def animals(n_animals=3, n_sessions=5, n=300, link=4.0, seed=0):
    """Running that gets rarer within every session; the first ROI follows it."""
    rng, recordings = np.random.default_rng(seed), []
    for a in range(n_animals):
        for s in range(n_sessions):
            run = (np.repeat(rng.random(n // 10), 10) < np.linspace(0.9, 0.2, n)).astype(np.uint8)
            signal = rng.normal(size=(n, 4)) + link * np.outer(run, [1, 0, 0, 0])
            recordings.append(Recording(signal, {"run": run}, RATE_HZ, f"mouse {a + 1}", f"s{s}", simulated=True))
    return Dataset("tired mice", tuple(recordings))


@pytest.fixture(scope="module")
def dataset():
    return animals()


@pytest.fixture(scope="module")
def scored(dataset):
    return chance.score_animals(dataset, n_draws=60, seed=3, jobs=1)[0]


def test_time_alone_scores_what_early_running_gives(dataset, scored):
    """All animals run early, so the decoder of time says: the earlier, the more it runs."""
    expected = np.mean([roc_auc_score(r.run, -np.arange(r.n_frames)) for r in dataset.of_animal("mouse 2")])
    assert expected > 0.65
    assert scored.set_index("animal").loc["mouse 2", "time only"] == pytest.approx(expected, abs=1e-9)


def test_animals_are_scored_as_by_themselves_and_without_two_sessions_left_out(dataset, scored):
    lonely = replace(dataset.recordings[0], animal="mouse 9")
    more, left_out = chance.score_animals(replace(dataset, recordings=(*dataset.recordings, lonely)), 60, 3, jobs=1)
    assert list(more["animal"]) == ["mouse 1", "mouse 2", "mouse 3"]
    assert [one.session for one in left_out] == ["mouse 9"] and "two" in left_out[0].reason
    alone = linear_null.refit(dataset, "mouse 2", "permuting", 60, 3, jobs=1, label="")
    assert scored.loc[1, "AUC"] == alone.observed and scored.loc[1, "p, permuting"] == alone.p_value()
    paired = linear_null.refit(dataset, "mouse 2", "repairing", 60, 3, jobs=1, label="").null_aucs
    inside = (paired >= scored.loc[1, "null low"]) & (paired <= scored.loc[1, "null high"])
    assert inside.mean() == pytest.approx(0.95, abs=0.02) and scored.loc[1, "null mean"] == paired.mean()


def test_the_table_has_score_clock_null_and_p_of_each_animal(scored):
    assert list(scored["animal"]) == ["mouse 1", "mouse 2", "mouse 3"] and set(scored["sessions"]) == {5}
    assert (scored["AUC"] > 0.95).all() and (scored["time only"] < 0.9).all() and scored["simulated"].all()
    # Re-paired sessions keep the tiring, and nothing else.
    assert (scored["null mean"] > 0.55).all() and (scored["null mean"] < 0.75).all()
    assert (scored["least p, repairing"] == 1 / 45).all() and (scored["least p, permuting"] == 1 / 120).all()
    assert (scored["p, repairing"] <= 0.05).all()


def test_three_animals_cannot_get_below_an_eighth_and_have_no_p(scored):
    sentence = chance.over_animals(scored)
    assert "over 3 animals" in sentence and "p =" not in sentence and "none below 1/8" in sentence
    above = scored["AUC"] - scored["null mean"]
    assert f"{above.mean():+.3f}" in sentence
    half = 4.302653 * above.std() / np.sqrt(3) / (1 - above.mean() ** 2)
    ends = np.tanh(np.arctanh(above.mean()) + np.array([-half, half]))
    assert "interval {:+.3f} to {:+.3f}".format(*ends) in sentence
    five = pd.concat([scored, scored[:2]])
    assert "p = 0.0312 (one-sided, greater than 0; no p below 1/32 is possible)" in chance.over_animals(five)
    assert "nothing can be said about animals" in chance.over_animals(scored[:1])


def test_another_behaviour_is_scored_as_running_would_be(dataset, scored):
    """The same values by another name, beside running that tells nothing."""
    def renamed(r):
        return replace(r, behaviour={"lick": r.run, "run": np.arange(r.n_frames) % 2})

    licking = replace(dataset, recordings=tuple(map(renamed, dataset.recordings)))
    task = Binary("lick").of(licking)
    found, left_out = chance.score_animals(chance.with_label(licking, task), n_draws=60, seed=3, jobs=1)
    pd.testing.assert_frame_equal(found, scored)
    assert not left_out and chance.plan(licking, {"name": "raw", "rate_hz": RATE_HZ}, task).task.name == "lick"


def test_the_stored_level_has_enough_data_sets_and_shows_what_fails():
    """The table of the chapter: 400 data sets a cell or more; the nulls that fail, fail by a wide margin."""
    level = null_level.NullLevel.load(cards.stored_folder() / "null_level.json")
    for cell in ("no_link", "drift_only"):
        for name in null_level.NULL_NAMES:
            assert row_of(level, cell, name).datasets >= 400
        assert row_of(level, cell, "permuting").low <= 0.05 <= row_of(level, cell, "permuting").high
        assert row_of(level, cell, "frame_shuffle").low > 0.2
        assert row_of(level, cell, "linear_shift", "(b+1)/(n/2+1)").low <= 0.05
    assert row_of(level, "drift_only", "circular_shift").low > 0.2
    assert row_of(level, "drift_only", "repairing").null_auc > 0.55
