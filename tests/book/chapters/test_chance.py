"""Scores of animals among scores of nulls, as tables, card and figures."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from calcium_decoding.data.recording import Dataset, Recording
from calcium_decoding.evaluation import linear_null, nulls
from decoding_book.chapters import chance, null_level

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


@pytest.fixture
def ax():
    figure, ax = plt.subplots()
    yield ax
    plt.close(figure)


def test_time_alone_scores_what_early_running_gives(dataset):
    """All animals run early, so the decoder of time says: the earlier, the more it runs."""
    expected = np.mean([roc_auc_score(r.run, -np.arange(r.n_frames)) for r in dataset.of_animal("mouse 2")])
    assert expected > 0.65
    assert chance.time_only_auc(dataset, "mouse 2") == pytest.approx(expected, abs=1e-9)


def test_animals_are_scored_as_by_themselves_and_without_two_sessions_left_out(dataset, scored):
    lonely = replace(dataset.recordings[0], animal="mouse 9")
    more, left_out = chance.score_animals(replace(dataset, recordings=(*dataset.recordings, lonely)), 60, 3, jobs=1)
    assert [one.animal for one in more] == ["mouse 1", "mouse 2", "mouse 3"]
    assert [one.session for one in left_out] == ["mouse 9"] and "two" in left_out[0].reason
    alone = linear_null.refit(dataset, "mouse 2", "permuting", 60, 3, jobs=1, label="")
    assert scored[1].observed == alone.observed
    np.testing.assert_array_equal(scored[1].by_null["permuting"].null_aucs, alone.null_aucs)


def test_the_table_has_score_clock_null_and_p_of_each_animal(scored):
    table = chance.animal_table(scored)
    assert list(table["animal"]) == ["mouse 1", "mouse 2", "mouse 3"] and set(table["sessions"]) == {5}
    assert (table["AUC"] > 0.95).all() and (table["time only"] < 0.9).all()
    # Re-paired sessions keep the tiring, and nothing else.
    assert (table["null mean"] > 0.55).all() and (table["null mean"] < 0.75).all()
    assert (table["least p, repairing"] == 1 / 45).all() and (table["least p, permuting"] == 1 / 120).all()
    assert (table["p, repairing"] <= 0.05).all()


def test_three_animals_cannot_get_below_a_quarter(scored):
    sentence = chance.over_animals(scored, "repairing")
    assert "over 3 animals" in sentence and "p = 0.25" in sentence and "below 1/4" in sentence
    above = np.mean([o.observed - o.by_null["repairing"].null_aucs.mean() for o in scored])
    assert f"{above:.3f}" in sentence or f"{above:.2f}" in sentence
    assert "nothing can be said about animals" in chance.over_animals(scored[:1], "repairing")


def test_the_card_has_means_over_animals_and_each_animal(scored):
    scores = {(s.model, s.metric, s.scope): s for s in chance.card_scores(scored)}
    mean = scores["linear", "auc", "mean of 3 animals"]
    assert mean.value == pytest.approx(np.mean([o.observed for o in scored])) and mean.n == 3
    assert scores["linear", "p, permuting", "animal mouse 2"].value == scored[1].by_null["permuting"].p_value()
    assert ("linear, time only", "auc", "mean of 3 animals") in scores
    assert chance.card_scores([]) == []


def made_up_level():
    rows = [null_level.Row(cell=cell, null=null, test=test, datasets=400, rejected=20, rate=0.05, low=0.03, high=0.08,
                           auc=0.5, null_auc=0.5)
            for cell in ("no_link", "drift_only") for null, test in (
                ("repairing", "(b+1)/(n+1)"), ("linear_shift", "(b+1)/(n+1)"), ("linear_shift", "(b+1)/(n/2+1)"))]
    return null_level.NullLevel(rows=rows, cells={c: {"says": c} for c in ("no_link", "drift_only")}, draws=39, seed=1,
                                code_version="v", code_hash="h", versions={})


def test_the_level_in_words():
    table = chance.level_table(made_up_level())
    assert list(table["null"])[:3] == [nulls.NULLS["repairing"].title, "linear shift", "linear shift, safe p"]
    assert set(table["rejected_percent"]) == {"5.0 (3.0 to 8.0)"} and set(table["data sets"]) == {400}
    assert list(table["data"]) == ["no_link"] * 3 + ["drift_only"] * 3


def test_the_origin_of_a_level_says_whether_the_code_is_the_same():
    level = made_up_level()
    assert "measure again" in chance.level_origin(level)
    same = level.model_copy(update={"code_hash": null_level.code_hash()})
    assert "code at hand" in chance.level_origin(same) and "measure again" not in chance.level_origin(same)


def test_the_stored_level_has_enough_data_sets_and_shows_what_fails():
    """The table of the chapter: 400 data sets a cell or more; the nulls that fail, fail by a wide margin."""
    level = chance.stored_level()
    for cell in ("no_link", "drift_only"):
        for name in null_level.NULL_NAMES:
            assert level.row(cell, name).datasets >= 400
        assert level.row(cell, "permuting").low <= 0.05 <= level.row(cell, "permuting").high
        assert level.row(cell, "frame_shuffle").low > 0.2
        assert level.row(cell, "linear_shift", "(b+1)/(n/2+1)").low <= 0.05
    assert level.row("drift_only", "circular_shift").low > 0.2
    assert level.row("drift_only", "repairing").null_auc > 0.55


def test_figure_of_nulls_shows_the_bouts_as_recorded_and_the_shift_in_the_middle(dataset, ax):
    chance.what_nulls_do(dataset, "mouse 1", ["repairing", "linear_shift"], 0, ax)
    run = dataset.recordings[0].run.astype(int)
    starts = np.flatnonzero(np.diff(np.concatenate([[0], run])) == 1) / RATE_HZ
    strips = ax.collections  # for each row a grey strip and its bars
    drawn = [path.get_extents().x0 for path in strips[1].get_paths()]
    np.testing.assert_allclose(drawn, starts)
    middle = strips[4].get_paths()[0].get_extents()
    assert (middle.x0, middle.x1) == pytest.approx((75 / RATE_HZ, 225 / RATE_HZ))
    assert [t.get_text() for t in ax.get_yticklabels()][:2] == ["mean activity", "as recorded"]
    assert any(t.get_text() == "simulated" for t in ax.texts)


def test_figure_of_a_distribution_counts_every_draw(dataset, scored, ax):
    found = scored[0].by_null["repairing"]
    chance.distribution(found, ax, dataset)
    assert sum(p.get_height() for p in ax.patches) == len(found.null_aucs)
    assert ax.lines[0].get_xdata()[0] == found.observed
    assert f"p = {found.p_value():.3f}" in ax.get_title(loc="left") + ax.get_title()


def test_figure_of_animals_shows_score_and_clock(scored, ax):
    chance.animals(scored, "repairing", ax)
    drawn = [line.get_ydata()[0] for line in ax.lines]
    for one in scored:
        assert one.observed in drawn and one.time_only in drawn
    assert "simulated" in [text.get_text() for text in ax.texts]
    figure, empty = plt.subplots()
    assert "no animal" in chance.animals([], "repairing", empty).get_title()
    plt.close(figure)


def test_figure_of_the_level_shows_rates_in_per_cent(ax):
    chance.level(made_up_level(), ["no_link", "drift_only"], ax)
    assert [label.get_text() for label in ax.get_yticklabels()][-1] == "linear shift, safe p"
    points = [line for line in ax.lines if line.get_marker() == "o"]
    np.testing.assert_allclose(np.concatenate([line.get_xdata() for line in points]), 5.0)
