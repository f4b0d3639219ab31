"""Maps, sides, pairs and warnings from folds made by hand; landmarks whose place is known; the ledger's scores."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from calcium_decoding.data import published
from calcium_decoding.data.recording import Dataset, Recording
from calcium_decoding.evaluation.cards import Provenance, ResultCard
from calcium_decoding.explain import patches, shap_maps
from calcium_decoding.explain.occlusion import FoldOcclusion
from calcium_decoding.plotting import style
from decoding_book import claims, ledger
from decoding_book.chapters.cut_out import figures, occlusion_tables, truth
from decoding_book.chapters.cut_out.truth import Backdrop

SHAPE = (32, 32)


def bump(row, column, height=0.2, width=1.5):
    """Importance of each square, largest where its middle is nearest to a corner of cells."""
    middles = np.array(patches.corners()) + 1
    return height * np.exp(-((middles - [row, column]) ** 2).sum(axis=1) / (2 * width**2))


def fold(animal, values, auc=0.9, name="", **changes):
    values = np.asarray(values, float)
    content = {"pooled": values, "base": {f"{animal}/s": auc}, "by_session": {f"{animal}/s": values}} | changes
    return FoldOcclusion(name or f"test={animal}", animal, "cnn", auc, simulated=True, **content)


@pytest.fixture
def cuts():
    return [fold(f"m{i}", bump(4, 2 + 0.1 * i), 0.9 + 0.01 * i) for i in range(4)]


@pytest.fixture
def dataset():
    return Dataset("made by hand", (Recording(np.zeros((10, 1)), {"run": np.arange(10) % 2}, 30.0, "m0", "s"),))


def test_a_session_counts_once_and_has_a_map_of_its_own():
    one = fold("m0", bump(2, 2), base={"m0/a": 0.8, "m0/b": 0.9},
               by_session={"m0/a": bump(2, 2), "m0/b": 3 * bump(2, 2)})
    np.testing.assert_allclose(one.importance, 2 * bump(2, 2))
    (a, b) = occlusion_tables.session_maps([one])
    assert (a[1], b[1]) == ("m0/a", "m0/b")
    np.testing.assert_allclose(3 * a[2], b[2])


def test_mean_and_sd_over_models_and_animals_are_those_of_numpy(cuts):
    more = [*cuts, fold("m0", 5 * bump(4, 2), name="second")]
    each = occlusion_tables.maps(more)
    mean, sd = occlusion_tables.mean_and_sd(more)
    np.testing.assert_allclose(mean, each.mean(axis=0))
    np.testing.assert_allclose(sd, each.std(axis=0, ddof=1))
    assert occlusion_tables.mean_and_sd(more[:1])[1] is None and occlusion_tables.mean_and_sd([]) == (None, None)
    np.testing.assert_allclose(occlusion_tables.by_animal(more)["m0"], each[[0, 4]].mean(axis=0))


def test_sessions_and_folds_without_an_auc_are_named_and_in_no_mean(cuts):
    failed = FoldOcclusion("lost", "m9", "cnn", undefined={"m9/x": "only rest"}, reason="no test session has an AUC")
    partly = fold("m1", bump(4, 2), undefined={"m1/only": "only running"})
    some = [*cuts, failed, partly]
    assert len(occlusion_tables.usable(some)) == 5 and occlusion_tables.maps(some).shape == (5, 8, 8)
    named = occlusion_tables.undefined_table(some)
    assert named.to_numpy().tolist() == [["m9", "m9/x", "only rest"], ["m1", "m1/only", "only running"]]
    table = occlusion_tables.fold_table(some).set_index("fold")
    assert table.loc["lost", "no map because"] and table.loc["lost", "sessions without AUC"] == "m9/x"
    missing = [row for row in occlusion_tables.session_maps(some) if row[2] is None]
    assert [(row[0], row[1], row[3]) for row in missing] == [("m1", "m1/only", "only running"),
                                                            ("m9", "m9/x", "only rest")]


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
    html = occlusion_tables.show(occlusion_tables.fold_table(at_chance), at_chance).to_html()
    assert "NOT ABOVE CHANCE" in html and "#B00020" in html
    assert "NOT ABOVE" not in occlusion_tables.show(occlusion_tables.fold_table(cuts), cuts).to_html()


def test_figures_carry_the_warning_in_red_and_name_what_is_simulated():
    at_chance = [fold(f"m{i}", bump(4, 2), auc) for i, auc in enumerate((0.45, 0.62, 0.5))]
    picture = np.add.outer(np.arange(32.0), np.arange(32.0))
    backdrop = Backdrop(picture, picture > 20, True, landmarks={"brightness": picture})
    found = {f"m{i}": backdrop for i in range(3)}
    _, axes = style.panels(2)
    figures.models(at_chance, backdrop, axes)
    _, row = figures.grid(3)
    figures.animals(at_chance, found, row)
    table = truth.agreement(at_chance, found)
    _, (pairs, sides, landmarks) = style.panels(3)
    figures.pairs(at_chance, pairs)
    figures.sides(at_chance, sides)
    figures.landmarks(table, landmarks, shap_maps.warning(at_chance))
    for ax in (*axes, *row, pairs, sides, landmarks):
        title = next(t for t in (ax._left_title, ax.title, ax._right_title) if t.get_text())
        assert "NOT ABOVE CHANCE" in title.get_text() and title.get_color() == figures.RED
        assert "simulated" in [text.get_text() for text in ax.texts]
    plt.close("all")


def test_left_less_right_changes_sign_with_the_mirror_image_and_the_peak_is_where_it_was_put(cuts):
    left, mirrored = patches.cell_map(bump(4, 2)), patches.cell_map(bump(4, 2))[:, ::-1]
    assert occlusion_tables.left_less_right(left) > 0
    assert occlusion_tables.left_less_right(left) == pytest.approx(-occlusion_tables.left_less_right(mirrored))
    cells, left, right = occlusion_tables.peak_cells(cuts)
    assert set(cells) <= {(3, 1), (3, 2), (4, 1), (4, 2)} and len(cells) == 4
    row, column = cells[0]
    np.testing.assert_allclose(right, occlusion_tables.maps(cuts)[:, row, 7 - column])
    assert (left > right).all()


def test_a_peak_chosen_on_other_animals_has_no_advantage_by_being_chosen():
    """Maps of noise: chosen on the same folds the left peak is above its mirror image, chosen elsewhere it is not."""
    rng, same, elsewhere = np.random.default_rng(0), [], []
    for _ in range(150):
        noise = [fold(f"m{i}", rng.normal(size=64)) for i in range(4)]
        for gaps, chosen in ((same, False), (elsewhere, True)):
            _, left, right = occlusion_tables.peak_cells(noise, chosen)
            gaps.append((left - right).mean())
    error = np.std(elsewhere) / np.sqrt(len(elsewhere))
    assert np.mean(same) > 0.3 and abs(np.mean(elsewhere)) < 3 * error < 0.15


def test_published_peaks_stand_beside_only_where_the_data_are_the_studys(cuts, dataset):
    own = Dataset("the study's", dataset.recordings, compare_with_study=True)
    assert not [c for c in occlusion_tables.peak_table(cuts, dataset) if "published" in c]
    table = occlusion_tables.peak_table(cuts, own)
    assert table.loc[0, "left, published"] == "0.054 ± 0.045"
    assert table.loc[0, "right, mirrored, published"] == "0.024 ± 0.014"


def test_the_pair_is_compared_with_the_whole_and_with_other_places():
    losses = np.array([0.10, 0.01, 0.02, 0.12, 0.0, 0.0, 0.0, -0.01])
    pairs = [fold(f"m{i}", losses + 0.001 * i, 0.9 + 0.01 * i) for i in range(5)]
    row = occlusion_tables.pair_table(pairs).iloc[0]
    assert row["whole picture"] == pytest.approx(0.92) and row["loss"] == pytest.approx(0.102)
    assert row["pair cut out"] == pytest.approx(0.92 - 0.102) and row["places with as large a loss"] == 1
    assert row["p, sign flip over animals"] == row["smallest p possible"] == 1 / 16


def test_discs_are_matched_with_the_squares_of_the_same_centres(cuts):
    discs = [fold("m0", 2 * cuts[0].importance[:49]), fold("elsewhere", np.zeros(49))]
    table = occlusion_tables.shape_table(cuts, discs)
    assert len(table) == 1 and table.loc[0, "rank correlation"] == pytest.approx(1)
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
    table = truth.agreement([fold("m0", values)], found).set_index("landmark")
    assert table.loc["here", "r"] == pytest.approx(1) and table.loc["here", "shifts as high"] == 1 / 64
    assert table.loc["there", "r"] < 0 and "nowhere" not in table.index  # the same everywhere: no ranks
    assert [s.value for s in truth.card_scores(table.reset_index())] == table["r"].tolist()


def test_cells_of_a_picture_are_its_means_over_the_squares():
    picture = np.random.default_rng(2).normal(size=SHAPE)
    blocks = picture.reshape(8, 4, 8, 4).mean(axis=(1, 3))
    by_hand = sum(w * np.roll(blocks, (i, j), (0, 1)) for i, a in ((-1, 1), (0, 2), (1, 1))
                  for j, b in ((-1, 1), (0, 2), (1, 1)) for w in [a * b / 16])
    np.testing.assert_allclose(truth.as_cells(picture), by_hand, atol=1e-12)


def test_planted_truth_and_vessels_are_named_or_their_absence_is(tmp_path):
    rng = np.random.default_rng(3)
    down, right = np.indices((64, 64)) - 31.5
    brain = np.where(np.hypot(down, right) < 24, 1000.0, 50.0) + rng.normal(0, 5, (20, 64, 64))
    recording = Recording(np.zeros((20, 1)), {"run": np.arange(20) % 2}, 30.0, "m0", "s", movie=brain, simulated=True)
    found, statement = truth.backdrops(Dataset("by hand", (recording,)), ["m0"])
    assert "no planted truth" in statement and set(found["m0"].landmarks) == {"brightness", "brain's edge", "vessels"}
    assert 0.8 < found["m0"].brain.sum() / (np.pi * 24**2) < 1.2 and found["m0"].parcels is None


def test_a_card_with_these_scores_answers_the_rows_of_the_ledger(cuts):
    study = next(s for s in claims.load().studies if "Ajioka" in s.title)
    rows = {c.where: c for g in study.groups for c in g.claims if c.ours and c.ours.chapters == ["22_cut_out"]}
    assert set(rows) == {"3B", "3, example in the code", "S1", "S3"}
    pairs = [fold(f"m{i}", np.full(8, 0.1), 0.9) for i in range(4)]
    card = ResultCard(chapter="22_cut_out", dataset="simulated-movies", simulated=True, claim="across animals",
                      null="a test", scores=occlusion_tables.card_scores(cuts, pairs), provenance=Provenance(
                          data_hash="d", split_hash="s", code_version="v", seed=1, parameters={}, versions={}))
    for claim in rows.values():
        ours = ledger.find(claim.ours, [ledger.Stored("a", card)], study.dataset)
        verdict, reason = ledger.verdict(claim, study, ours, None)
        assert verdict == ledger.Verdict.SIMULATED and "the order" in reason, claim.where
    own = rows["3B"].theirs.values()
    assert (own["left peak"].value, own["right mirrored"].value) == (0.054, 0.024)


def test_the_example_is_the_published_session_where_it_is_there(cuts):
    assert occlusion_tables.example(cuts)[1] == "m0/s" and occlusion_tables.example([]) == (None, "")
    table = published.table("cutout_one_session")
    theirs = fold("mouse 2", table.query("mask_kind != 'circle'")["importance"], name="test=mouse 2, valid=mouse 1",
                  base={"mouse 2/20180129_Emx1G6_non_1": 0.96})
    theirs.by_session["mouse 2/20180129_Emx1G6_non_1"] = theirs.by_session.pop("mouse 2/s")
    scores = {s.model: s.value for s in occlusion_tables.card_scores([*cuts, theirs], [])}
    assert scores["left square, example session"] == pytest.approx(0.060139)
    assert scores["right square, example session"] == pytest.approx(0.020049)
