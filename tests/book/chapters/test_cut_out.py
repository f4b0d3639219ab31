"""Maps, sides, pairs and warnings from folds made by hand; landmarks whose place is known; the ledger's scores."""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from calcium_decoding.data import published
from calcium_decoding.data.recording import Dataset, Recording
from calcium_decoding.errors import DataError
from calcium_decoding.evaluation.cards import Provenance, ResultCard
from calcium_decoding.experiments import compare, compared
from calcium_decoding.experiments.folds import FoldResult
from calcium_decoding.explain import patches, shap_maps
from calcium_decoding.explain.occlusion import FoldOcclusion
from calcium_decoding.models.loop import History
from calcium_decoding.plotting import style
from decoding_book import answers, claims, ledger
from decoding_book.chapters import cut_out, tables
from decoding_book.chapters.cut_out import Backdrop
from tests.conftest import run_cells, title_of

SHAPE = (32, 32)


def bump(row, column, height=0.2, width=1.5):
    """Importance of each square, largest where its middle is nearest to a corner of cells."""
    middles = np.array(patches.corners()) + 1
    return height * np.exp(-((middles - [row, column]) ** 2).sum(axis=1) / (2 * width**2))


def fold(animal, values, auc=0.9, name="", **changes):
    values = np.asarray(values, float)
    content = {"pooled": values, "base": {f"{animal}/s": auc}, "by_session": {f"{animal}/s": values}} | changes
    return FoldOcclusion(name or f"test={animal}", animal, "cnn", auc, simulated=True, **content)


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture
def cuts():
    return [fold(f"m{i}", bump(4, 2 + 0.1 * i), 0.9 + 0.01 * i) for i in range(4)]


@pytest.fixture
def dataset():
    return Dataset("made by hand", (Recording(np.zeros((10, 1)), {"run": np.arange(10) % 2}, 30.0, "m0", "s"),))


def arrays(cuts, **more):
    """What the cells of the chapter make of folds before they draw them."""
    known = cut_out.usable(cuts)
    maps, tested = patches.cell_map([cut.importance for cut in known]), np.array([cut.animal for cut in known])
    by_animal = {animal: maps[tested == animal].mean(axis=0) for animal in dict.fromkeys(tested)}
    return {"cuts": cuts, "known": known, "maps": maps, "tested": tested, "by_animal": by_animal,
            "said": shap_maps.warning(cuts)} | more


def drawn_on(cuts, **landmarks):
    """A Backdrop of each animal."""
    picture = np.add.outer(np.arange(32.0), np.arange(32.0))
    backdrop = Backdrop(picture, picture > 20, True, landmarks=landmarks or {"brightness": picture})
    return {cut.animal: backdrop for cut in cuts}


def test_a_session_counts_once_and_has_a_map_of_its_own():
    one = fold("m0", bump(2, 2), base={"m0/a": 0.8, "m0/b": 0.9},
               by_session={"m0/a": bump(2, 2), "m0/b": 3 * bump(2, 2)})
    np.testing.assert_allclose(one.importance, 2 * bump(2, 2))
    found = run_cells("22_cut_out", "of_folds = {}", known=[one, one])["by_session"]
    assert list(found) == [("m0", "m0/a"), ("m0", "m0/b")]
    np.testing.assert_allclose(3 * found["m0", "m0/a"], found["m0", "m0/b"])


def test_mean_and_sd_over_models_and_animals_are_those_of_numpy(cuts, monkeypatch):
    more = [*cuts, fold("m0", 5 * bump(4, 2), name="second")]
    monkeypatch.setattr(cut_out, "backdrops", lambda dataset, animals: (drawn_on(cuts), ""))
    for some in (more, more[:1]):
        after = run_cells("22_cut_out", "spread = maps.mean", "by_animal = {", chapter=SimpleNamespace(dataset=None),
                          **arrays(some))
        np.testing.assert_allclose(after["mean"], arrays(some)["maps"].mean(axis=0))
        assert len(some) > 1 or after["spread"] is None
    each = patches.cell_map([cut.importance for cut in more])
    after = run_cells("22_cut_out", "spread = maps.mean", "by_animal = {", chapter=SimpleNamespace(dataset=None),
                      **arrays(more))
    np.testing.assert_allclose(after["spread"], each.std(axis=0, ddof=1))
    np.testing.assert_allclose(after["by_animal"]["m0"], each[[0, 4]].mean(axis=0))
    assert next(title_of(ax) for ax in after["fig"].axes if ax.images) == "m0, folds: 2"


def test_sessions_and_folds_without_an_auc_are_named_and_in_no_mean(cuts):
    failed = FoldOcclusion("lost", "m9", "cnn", undefined={"m9/x": "only rest"}, reason="no test session has an AUC")
    partly = fold("m1", bump(4, 2), undefined={"m1/only": "only running"})
    some = [*cuts, failed, partly]
    made = arrays(some)
    assert len(made["known"]) == 5 and made["maps"].shape == (5, 8, 8)
    after = run_cells("22_cut_out", '"sessions without AUC"', "without = {", "of_folds = {}", "sorted(without",
                      found=drawn_on(some), **made)
    by_fold, named = after["page"]
    assert len(by_fold) == 5 and by_fold["sessions without AUC"].iloc[-1] == "m1/only"
    assert named.to_numpy().tolist() == [["m9", "m9/x", "only rest"], ["m1", "m1/only", "only running"]]
    titles = [title_of(ax) for ax in after["fig"].axes if ax.images]
    assert titles.count("m1\nonly\nno AUC: only running") == titles.count("m9\nx\nno AUC: only rest") == 1
    assert len(titles) == 6
    assert tables.not_evaluable_table(some).to_numpy().tolist() == [["lost", "no test session has an AUC"]]
    with pytest.raises(DataError, match="nothing in any of 1 folds: no test session"):
        cut_out.usable([failed])


def test_the_warning_is_there_at_chance_below_the_null_and_without_folds_and_else_not(cuts):
    class Null:
        def __init__(self, auc):
            self.scores = {"auc": auc}

    assert shap_maps.warning(cuts) == "" == shap_maps.warning(cuts, [Null(0.6)])
    assert "NOT ABOVE ITS NULL" in shap_maps.warning(cuts, [Null(0.6), Null(0.95)])
    at_chance = [fold(f"m{i}", bump(4, 2), auc) for i, auc in enumerate((0.45, 0.62, 0.5, 0.58))]
    assert "NOT ABOVE CHANCE (AUC 0.54)" in shap_maps.warning(at_chance)
    assert "ONE FOLD ONLY" in shap_maps.warning(cuts[:1])  # it has no interval, so nothing is known
    assert "NO MAP" in shap_maps.warning([])
    html = tables.show(pd.DataFrame({"fold": [1]}), said=shap_maps.warning(at_chance)).to_html()
    assert "<caption>NOT ABOVE CHANCE" in html and style.WARNING in html
    assert "<caption>" not in tables.show(pd.DataFrame({"fold": [1]}), said=shap_maps.warning(cuts)).to_html()


def test_figures_carry_the_warning_in_red_and_name_what_is_simulated():
    at_chance = [fold(f"m{i}", bump(4, 2), auc) for i, auc in enumerate((0.45, 0.62, 0.5))]
    made = arrays(at_chance, found=drawn_on(at_chance), animals=["m0", "m1", "m2"], truth_statement="")
    axes = []
    for text in ("by_animal = {", "sides = {", "style.dots(groups, ax"):
        after = run_cells("22_cut_out", text, **made)
        axes += [ax for ax in after["fig"].axes if ax.get_label() != "<colorbar>"]
    assert len(axes) == 5
    for ax in axes:
        title = next(t for t in (ax._left_title, ax.title, ax._right_title) if t.get_text())
        assert "NOT ABOVE CHANCE" in title.get_text().replace("\n", " ") and title.get_color() == style.WARNING
        assert "simulated" in [text.get_text() for text in ax.texts]


def test_left_less_right_changes_sign_with_the_mirror_image_and_the_peak_is_where_it_was_put(cuts):
    left, mirrored = patches.cell_map(bump(4, 2)), patches.cell_map(bump(4, 2))[:, ::-1]
    assert cut_out.left_less_right(left) > 0
    assert cut_out.left_less_right(left) == pytest.approx(-cut_out.left_less_right(mirrored))
    made = arrays(cuts)
    peaks = cut_out.peaks(made["maps"], made["tested"])
    assert len(peaks) == 4 and len(set(peaks["cell"])) == 1
    row, column = (int(word) - 1 for word in peaks["cell"][0].replace(",", "").split()[1::2])
    assert (row, column) in {(3, 1), (3, 2), (4, 1), (4, 2)}
    np.testing.assert_allclose(peaks["right"], made["maps"][:, row, 7 - column])
    assert (peaks["left"] > peaks["right"]).all()


def test_a_peak_chosen_on_other_animals_has_no_advantage_by_being_chosen():
    """Maps of noise: chosen on the same folds the left peak is above its mirror image, chosen elsewhere it is not."""
    rng, same, elsewhere = np.random.default_rng(0), [], []
    for _ in range(150):
        noise = patches.cell_map(rng.normal(size=(4, 64)))
        for gaps, chosen in ((same, False), (elsewhere, True)):
            peaks = cut_out.peaks(noise, np.arange(4), chosen)
            gaps.append((peaks["left"] - peaks["right"]).mean())
    error = np.std(elsewhere) / np.sqrt(len(elsewhere))
    assert np.mean(same) > 0.3 and abs(np.mean(elsewhere)) < 3 * error < 0.15


def test_published_peaks_stand_beside_only_where_the_data_are_the_studys(cuts, dataset):
    own = Dataset("the study's", dataset.recordings, compare_with_study=True)
    for of, some in ((dataset, cuts), (own, cuts), (dataset, cuts[:1])):
        chapter = SimpleNamespace(dataset=of)
        (table,) = run_cells("22_cut_out", "cut_out.peaks(", chapter=chapter, **arrays(some))["page"]
        assert table["folds"].tolist() == [len(some), len(some) if len(some) > 1 else 0]
        if of is own:
            assert table["left, published"].tolist() == ["0.054 ± 0.045", ""]
            assert table["right, published"].tolist() == ["0.024 ± 0.014", ""]
        else:
            assert not [c for c in table if "published" in c]


def test_the_pair_is_compared_with_the_whole_and_with_other_places(capsys):
    losses = np.array([0.10, 0.01, 0.02, 0.12, 0.0, 0.0, 0.0, -0.01])
    pairs = [fold(f"m{i}", losses + 0.001 * i, 0.9 + 0.01 * i) for i in range(5)]
    again = SimpleNamespace(run=lambda *_, **__: pairs)
    cells = "whole = np.array", "places with as large a loss", "statistics.least_rank_sum"
    after = run_cells("22_cut_out", *cells, said="", occlusion=again, experiment=None, model="cnn", shape=SHAPE,
                      test_every=1, pool={})
    (row,) = after["page"][0].to_dict("records")
    assert row["whole picture"] == pytest.approx(0.92) and row["loss"] == pytest.approx(0.102)
    assert row["pair cut out"] == pytest.approx(0.92 - 0.102) and row["places with as large a loss"] == 1
    said = capsys.readouterr().out
    # The hypothesis has a sign: all five animals lose, which is 1 of 32 assignments.
    assert "+0.102 over 5 animals, exact sign-flip p = 0.0312 (one-sided, greater than 0" in said
    assert "rank sum over folds: p = 0.012" in said
    pairs[3:] = []
    run_cells("22_cut_out", *cells, said="", occlusion=again, experiment=None, model="cnn", shape=SHAPE, test_every=1,
              pool={})
    few = capsys.readouterr().out
    assert "rank sum" not in few and "p =" not in few and "over 3 animals" in few and "95 % interval +0.0" in few
    run_cells("22_cut_out", *cells, said="NOT CONVERGED", occlusion=again, experiment=None, model="cnn", shape=SHAPE,
              test_every=1, pool={})
    assert capsys.readouterr().out == "no test: NOT CONVERGED\n"


def test_discs_are_matched_with_the_squares_of_the_same_centres(cuts):
    discs = [fold("m0", 2 * cuts[0].importance[:49]), fold("elsewhere", np.zeros(49))]
    again = SimpleNamespace(run=lambda *_, **__: discs)
    chapter = SimpleNamespace(plan_images=lambda **_: None)
    (table,) = run_cells("22_cut_out", "patches.discs(shape), every", chapter=chapter, occlusion=again, disc_folds=1,
                         model="cnn", shape=SHAPE, test_every=1, pool={}, **arrays(cuts))["page"]
    assert len(table) == 1 and table.loc[0, "rank correlation"] == pytest.approx(1)
    assert table.loc[0, "discs, largest"] == pytest.approx(2 * table.loc[0, "squares, largest"])
    for disc, square in zip(patches.discs((128, 128)), patches.squares((128, 128)), strict=False):
        inside = np.argwhere(square.mask).mean(axis=0)
        if not disc.mask[-1].any() and not disc.mask[:, -1].any():  # those are cut off by the end of the picture
            np.testing.assert_allclose(np.argwhere(disc.mask).mean(axis=0), inside + 0.5)


def test_a_map_agrees_with_the_landmark_it_was_made_of_and_not_with_another():
    picture, other = np.zeros(SHAPE), np.zeros(SHAPE)
    picture[8:12, 20:24], other[24:28, 4:8] = 1, 1
    values = [picture[cut.mask].mean() for cut in patches.squares(SHAPE)]
    found = {"m0": Backdrop(np.ones(SHAPE), np.ones(SHAPE, bool), False, landmarks={
        "here": picture, "there": other, "nowhere": np.ones(SHAPE)})}
    table = cut_out.agreement({"m0": patches.cell_map(values)}, found).set_index("landmark")
    assert table.loc["here", "r"] == pytest.approx(1) and table.loc["here", "shifts as high"] == 1 / 64
    assert table.loc["there", "r"] < 0 and "nowhere" not in table.index  # the same everywhere: no ranks
    cuts = [fold("m0", values)]
    scores = cut_out.card_scores(cuts, cuts, table.reset_index())
    assert [s.value for s in scores if s.metric == "rank_r"] == table["r"].tolist()


def test_cells_of_a_picture_are_its_means_over_the_squares():
    picture = np.random.default_rng(2).normal(size=SHAPE)
    blocks = picture.reshape(8, 4, 8, 4).mean(axis=(1, 3))
    by_hand = sum(w * np.roll(blocks, (i, j), (0, 1)) for i, a in ((-1, 1), (0, 2), (1, 1))
                  for j, b in ((-1, 1), (0, 2), (1, 1)) for w in [a * b / 16])
    np.testing.assert_allclose(cut_out.as_cells(picture), by_hand, atol=1e-12)


def test_planted_truth_and_vessels_are_named_or_their_absence_is(tmp_path):
    rng = np.random.default_rng(3)
    down, right = np.indices((64, 64)) - 31.5
    brain = np.where(np.hypot(down, right) < 24, 1000.0, 50.0) + rng.normal(0, 5, (20, 64, 64))
    recording = Recording(np.zeros((20, 1)), {"run": np.arange(20) % 2}, 30.0, "m0", "s", movie=brain, simulated=True)
    found, statement = cut_out.backdrops(Dataset("by hand", (recording,)), ["m0"])
    assert "no planted truth" in statement and set(found["m0"].landmarks) == {"brightness", "brain's edge", "vessels"}
    assert 0.8 < found["m0"].brain.sum() / (np.pi * 24**2) < 1.2 and found["m0"].parcels is None


def test_a_card_with_these_scores_answers_the_rows_of_the_ledger(cuts):
    study = next(s for s in claims.load().studies if "Ajioka" in s.title)
    rows = {c.where: c for g in study.groups for c in g.claims if c.ours and c.ours.chapters == ["22_cut_out"]}
    assert set(rows) == {"3B", "3, example", "S1", "S3"}
    pairs, none = [fold(f"m{i}", np.full(8, 0.1), 0.9) for i in range(4)], cut_out.agreement({}, {})
    card = ResultCard(chapter="22_cut_out", dataset="simulated-movies", simulated=True, claim="across animals",
                      null="a test", scores=cut_out.card_scores(cuts, pairs, none), provenance=Provenance(
                          data_hash="d", split_hash="s", code_version="v", seed=1, parameters={}, versions={}))
    for claim in rows.values():
        ours, _ = answers.find(claim.ours, {"a": card}, study)
        verdict, _ = ledger.verdict(claim, study, ours, None)
        assert verdict.startswith("not answered" if claim.unanswered else "simulated: ") and ours, claim.where
    own = rows["3B"].theirs.values()
    assert (own["left peak"].value, own["right mirrored"].value) == (0.054, 0.024)


def test_the_example_is_the_published_session_where_it_is_there(cuts):
    assert cut_out.example(cuts)[1] == "m0/s"
    table, none = published.table("cutout_one_session"), cut_out.agreement({}, {})
    theirs = fold("mouse 2", table.query("mask_kind != 'circle'")["importance"], name="test=mouse 2, valid=mouse 1",
                  base={"mouse 2/20180129_Emx1G6_non_1": 0.96})
    theirs.by_session["mouse 2/20180129_Emx1G6_non_1"] = theirs.by_session.pop("mouse 2/s")
    scores = {s.model: s.value for s in cut_out.card_scores([*cuts, theirs], cuts, none)}
    assert scores["left square, example session"] == pytest.approx(0.060139)
    assert scores["right square, example session"] == pytest.approx(0.020049)


def landmarks_of(**r):
    """A table as of `agreement`, of two animals."""
    return pd.DataFrame([(animal, name, value + more) for name, value in r.items()
                         for animal, more in (("m0", 0.05), ("m1", -0.05))], columns=["tested on", "landmark", "r"])


def said_of(landmarks, said=""):
    return " ".join(cut_out.answer(landmarks, said).split())


def test_what_a_map_goes_with_is_said_in_a_sentence():
    movement, neurons = cut_out.PLANTED["motion"], cut_out.PLANTED["driven"]
    table = landmarks_of(**{neurons: 0.02, "brain's edge": 0.38, movement: 0.41})
    assert said_of(table) == (f"The map goes most with {movement} (rank correlation 0.41, mean of 2 animals), "
                              f"then with brain's edge (0.38), and with {neurons} 0.02.")
    assert said_of(landmarks_of(**{neurons: 0.5, movement: 0.1})).endswith(f"then with {movement} (0.10).")
    assert "goes with none" in said_of(landmarks_of(**{neurons: -0.3, movement: -0.1}))
    assert "cannot be said: NOT ABOVE CHANCE" in said_of(table, "NOT ABOVE CHANCE (AUC 0.54): this map means nothing")
    assert "no landmark is known" in said_of(landmarks_of())


def test_maps_of_arms_are_ranked_against_landmarks_fold_by_fold_and_seed_by_seed(monkeypatch):
    """A map made of one landmark in the first arm and of another in the second; the card keeps it."""
    rng = np.random.default_rng(0)
    pictures = {name: rng.normal(size=SHAPE) for name in ("here", "there")}
    seen = SimpleNamespace(image_shape=lambda dataset: SHAPE)
    plans = {name: Plan(seen, name) for name in pictures}
    monkeypatch.setattr(cut_out, "backdrops", lambda dataset, animals: (
        {animal: Backdrop(np.ones(SHAPE), np.ones(SHAPE, bool), True, landmarks=pictures) for animal in animals}, ""))
    monkeypatch.setattr(compare, "run", lambda conditions, **how: compare.Comparison(
        compare.ConditionResult(one, [result(animal, seed) for seed in (7, 8) for animal in ("m0", "m1")])
        for one in conditions))

    def maps(plan, model, squares, every, store, jobs, label):
        values = np.array([pictures[plan.dataset][cut.mask].mean() for cut in squares])
        return [fold(animal, values if plan.seed == 7 else -values, name=f"test={animal}") for animal in ("m0", "m1")]

    monkeypatch.setattr(cut_out.occlusion, "run", maps)
    found = cut_out.of_arms(plans, "cnn", 1, 2, None, 1)
    for of in found:
        assert [f.scores[f"map with {of.name}"] for f in of.folds] == pytest.approx([1, 1, -1, -1])
    assert cut_out.measured(found) == ["map with here", "map with there"]
    kept = compared.from_record(compared.recorded([replace(r, condition=replace(r.condition, experiment=None))
                                                   for r in found]))
    first_seed = [replace(r, folds=r.folds[:2]) for r in kept]
    table = cut_out.followed(first_seed)
    assert table["goes most with"].tolist() == ["here", "there"]
    assert (table["here"][0], table["there"][1]) == pytest.approx((1, 1))
    assert cut_out.followed(kept)["here"][0] == pytest.approx(0)  # means over seeds
    early = [replace(r, folds=[replace(f, history=History([0.7, 0.5], [0.6, 0.5], 1)) for f in r.folds])
             for r in first_seed]
    assert cut_out.followed(early)["goes most with"].str.startswith("NOT CONVERGED").all()
    at_chance = [replace(r, folds=[replace(f, scores=f.scores | {"auc": 0.5}) for f in r.folds]) for r in first_seed]
    assert cut_out.followed(at_chance)["goes most with"].str.startswith("NOT ABOVE CHANCE").all()
    assert cut_out.followed([]).empty and cut_out.measured([]) == []


@dataclass(frozen=True)
class Plan:
    """In place of an experiment."""

    input: object
    dataset: str
    seed: int = 7

    def with_(self, seed):
        return replace(self, seed=seed)


def result(animal, seed):
    nothing = np.empty(0)
    scores = {"auc": {"m0": 0.9, "m1": 0.88}[animal], "auc_train": 0.95}
    return FoldResult(f"test={animal}", animal, "cnn", scores, "", History(), (), nothing, nothing, nothing, nothing,
                      simulated=True, seed=seed)
