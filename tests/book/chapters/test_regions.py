"""Sets of ROIs, the restriction to one, masking without a refit, and what groups are worth, against known truth."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from calcium_decoding import preprocessing, simulation, splits
from calcium_decoding.data import published
from calcium_decoding.data.recording import Dataset, Recording
from calcium_decoding.errors import ParameterError
from calcium_decoding.evaluation import statistics
from calcium_decoding.experiments import compare, engine, nested
from calcium_decoding.experiments.compare import Condition, ConditionResult
from calcium_decoding.experiments.engine import Experiment
from calcium_decoding.experiments.folds import FoldResult
from calcium_decoding.experiments.inputs import Traces
from calcium_decoding.explain import occlusion
from calcium_decoding.models.loop import History
from calcium_decoding.models.training import TrainingSettings
from calcium_decoding.preprocessing.windows import WindowSpec
from calcium_decoding.simulation import widefield
from decoding_book.chapters import data_tour, regions

ALONE, REFIT, ZERO, MEAN = regions.ALONE, regions.REFIT, regions.FILLS["zero"], regions.FILLS["mean"]
NAMES = ("A_1", "A_2", "B_1", "B_2", "C_1", "C_2")
GROUPS = {"A": (1, 2), "B": (3, 4), "C": (5, 6)}


def make_dataset(effect, shared=(), animals=3, n_frames=500, names=NAMES, seed=0, simulated=False, noise=0.6):
    """``effect`` of running on each ROI; ROIs in ``shared`` get the same noise, so that one is as good as all."""
    rng = np.random.default_rng(seed)
    recordings = []
    for animal in range(animals):
        for session in range(2):
            run = (np.sin(np.arange(n_frames) / 15 + rng.uniform(0, 6)) > 0).astype(np.uint8)
            signal = rng.normal(0, noise, size=(n_frames, len(effect)))
            signal[:, list(shared)] = signal[:, list(shared)[:1]]
            signal += 0.05 * rng.normal(size=signal.shape) + np.outer(run, effect)
            recordings.append(Recording(signal, {"run": run}, 30.0, f"a{animal}", f"s{session}", roi_names=names,
                                        simulated=simulated))
    return Dataset("made", tuple(recordings))


def make_experiment(dataset, recipe="scaled", spec=None, **training):
    return Experiment(dataset, splits.animal_pairs(dataset),
                      Traces({"name": recipe, "rate_hz": 30.0}, spec or WindowSpec(0, 0)),
                      training=TrainingSettings(**training))


def noise(n_frames=60, n_roi=6, seed=0):
    return np.random.default_rng(seed).normal(size=(n_frames, n_roi)).astype(np.float32)


# The restriction


@pytest.mark.parametrize("recipe", preprocessing.RECIPES)
def test_the_restriction_is_every_recipe_with_zeros_in_the_other_columns(recipe):
    signal, kept = noise(), [5, 2]
    whole, some = (preprocessing.build(recipe, 30.0, 20, only_rois=only) for only in ((), kept))
    for pipeline in (whole, some):
        pipeline.fit([(signal, [(0, 40)])], ["r"])
    expected = whole.transform(signal)
    expected[:, [0, 2, 3, 5]] = 0
    np.testing.assert_array_equal(some.transform(signal), expected)
    assert some.look_ahead_frames == whole.look_ahead_frames and some.look_back_frames == whole.look_back_frames
    assert some.fitted_on == whole.fitted_on
    assert len(some.steps) == len(whole.steps) + 1


def test_nothing_of_the_others_is_left():
    one, other = noise(seed=1), noise(seed=2)
    other[:, [0, 3]] = one[:, [0, 3]]
    pipeline = preprocessing.build("published", 30.0, 20, only_rois=[1, 4])
    np.testing.assert_array_equal(pipeline.transform(one), pipeline.transform(other))
    assert (preprocessing.build("published", 30.0, 20).transform(one) !=
            preprocessing.build("published", 30.0, 20).transform(other)).any()


def test_the_restriction_says_what_it_is():
    last = preprocessing.build("published", 30.0, only_rois=np.array([6, 8])).steps[-1]
    assert last == preprocessing.OnlyRois((6, 8)) and last.fitted_on == "nothing"
    assert (last.look_back_frames, last.look_ahead_frames) == (0, 0)


@pytest.mark.parametrize("rois", [[0], [-1], [1.0], [True], ["1"], [2, 2], "12", 3, None, {"a": 1}])
def test_bad_numbers_are_refused(rois):
    with pytest.raises(ParameterError):
        preprocessing.build("raw", 30.0, only_rois=rois)


def test_a_roi_that_is_not_there_is_refused_with_the_recording():
    with pytest.raises(ParameterError, match=r"ROI 7.*1 to 6.*mouse 1/day 2"):
        preprocessing.build("raw", 30.0, only_rois=[1, 7]).transform(noise(), "mouse 1/day 2")


# Sets


@pytest.fixture(scope="module")
def study_like():
    recordings = [Recording(noise(40, 50, i), {"run": np.arange(40) % 2}, 30.0, f"m{i}", "s", simulated=True)
                  for i in range(3)]
    return Dataset("study-like", tuple(recordings))


def test_the_studys_sets(study_like):
    # Typed from the paper's legends: left side first, homologues 25 later.
    left = {"M2&M1": (1, 4), "FL&HL": (6, 9), "PT&RS": (14, 17), "V1&Vm": (18, 21), "Vl&A1": (22, 25)}
    sets = regions.sets_of(study_like)
    for group, (first, last) in left.items():
        one_side = list(range(first, last + 1))
        assert sorted(sets.groups[group]) == one_side + [roi + 25 for roi in one_side]
        assert sorted(sets.everything()[f"without {group}"] + sets.groups[group]) == list(range(1, 51))
    assert list(sets.groups) == list(left)
    assert sets.limbs["FLa&HLa"] == (6, 8, 31, 33) and len(sets.limbs["Other"]) == 46
    assert not set(sets.limbs["Other"]) & {6, 8, 31, 33}
    assert sets.sides == {"left": tuple(range(1, 26)), "right": tuple(range(26, 51))}
    assert len(sets.everything()) == 1 + 2 + 5 + 5 + 2 and sets.everything()["all 50"] == ()


def test_fifty_rois_of_somebody_else_are_not_given_the_studys_areas(study_like):
    recordings = tuple(replace(r, simulated=False) for r in study_like.recordings)
    sets = regions.sets_of(Dataset("mine", recordings))
    assert not sets.groups and not sets.limbs and "do not tell areas" in sets.statement
    assert regions.sets_of(Dataset("the study", recordings, compare_with_study=True)).groups
    named = tuple(replace(r, roi_names=tuple(f"x{i}" for i in range(50))) for r in study_like.recordings)
    assert not regions.sets_of(Dataset("named", named)).groups


@pytest.mark.parametrize(("names", "groups"), [
    (("M1_left", "V1_left", "M1_right", "V1_right"), {"M1": (1, 3), "V1": (2, 4)}),
    (("M1-1", "M1-2", "V1.1", "V1 2"), {"M1": (1, 2), "V1": (3, 4)}),
    (("1", "2", "3", "4"), {}),  # numbers only
    (("roi_1", "roi_2", "roi_3", "roi_4"), {}),  # one group is no comparison
    (("a", "b", "c", "d"), {}),  # a group of its own each
    (tuple(f"{chr(97 + i // 2)}_{i}" for i in range(40)), {}),  # 20 areas
])
def test_groups_from_names(names, groups):
    sets = regions.sets_of(make_dataset([0.0] * len(names), names=names, animals=1))
    assert sets.groups == groups and sets.n_roi == len(names)
    assert sets.statement.startswith("no groups") == (not groups)


def test_recordings_with_different_rois_have_no_sets_but_all():
    one, two = make_dataset([0.0] * 6, animals=1), make_dataset([0.0] * 4, animals=1, names=NAMES[:4])
    recordings = one.recordings + tuple(replace(r, animal="b") for r in two.recordings)
    sets = regions.sets_of(Dataset("mixed", recordings))
    assert sets.n_roi is None and sets.everything() == {"all ROIs": ()}
    assert len(data_tour.correlations(Dataset("mixed", recordings))) == 2 * 6 + 2 * 4


def compared(experiment, sets, model="logistic", names=None, **how):
    asked = regions.restricted(experiment, sets)
    return compare.compare({name: asked[name] for name in names or asked}, [model], sets.published, **how)


def test_each_set_keeps_its_rois_and_stands_beside_its_published_score(study_like):
    experiment, sets = make_experiment(study_like, "raw"), regions.sets_of(study_like)
    asked = regions.restricted(experiment, sets)
    assert asked["all 50"] is experiment and list(asked) == list(sets.everything())
    assert asked["FLa&HLa"].recipe == {**experiment.recipe, "only_rois": [6, 8, 31, 33]}
    assert len(asked["without PT&RS"].recipe["only_rois"]) == 42
    stated = {name: Condition(name, asked[name], published=key).published_score() for name, key in
              sets.published.items()}
    assert stated["M2&M1"] == (0.869, 0.037) and len(stated) == 8
    assert stated["all 50"][0] == pytest.approx(0.974, abs=1e-3)


def test_a_decoder_restricted_to_silent_rois_is_at_chance_and_to_the_driven_ones_as_good_as_by_itself():
    dataset = make_dataset([1.0, 1.0, 0, 0, 0, 0])
    experiment, sets = make_experiment(dataset), regions.sets_of(dataset)
    found = {r.name: r.by_animal() for r in compared(experiment, sets, jobs=1)}
    alone = replace(dataset, recordings=tuple(replace(r, signal=r.signal[:, :2], roi_names=NAMES[:2])
                                              for r in dataset.recordings))
    by_itself = compare.run([Condition("A", make_experiment(alone), "logistic")], jobs=1)[0].by_animal()
    assert found["A"] == pytest.approx(by_itself, abs=1e-6)  # the columns of zeros change nothing
    assert all(0.4 < auc < 0.6 for name in ("B", "C", "without A") for auc in found[name].values())


# Tests of pairs


def as_folds(experiment, variant, shift=0.0):
    """The published folds as if they were ours."""
    nothing = np.empty(0)
    return [FoldResult(f"test={row.test_mouse},valid={row.valid_mouse}", f"mouse {row.test_mouse}", "gru",
                       {"auc": row.value + shift}, "", History(), (), nothing, nothing, nothing, nothing)
            for row in published.per_fold(experiment, "GRU", variant).itertuples()]


@pytest.mark.parametrize(("panel", "names", "n_pairs"), [("Fig6D", ["all 50", "FLa&HLa", "Other"], 3),
                                                         ("Fig6F", list(published.GROUPS), 10)])
def test_fed_with_the_published_folds_our_tests_give_the_published_ones(study_like, panel, names, n_pairs):
    asked, sets = make_experiment(study_like, "raw"), regions.sets_of(study_like)
    keys = {name: sets.published[name] for name in (name.replace("_", "&") for name in names)}
    found = [ConditionResult(Condition(name, asked, published=key), as_folds(key[0], key[2]))
             for name, key in keys.items()]
    for order in (found, found[::-1]):
        rows = compare.short_tests(order)
        assert len(rows) == n_pairs
        assert list(rows["rank-sum p, Holm"]) == list(rows["published, real mice"])
    assert "n = 5" in rows["over animals"][0]
    # Five animals cannot give a two-sided p below 0.05.
    assert not rows.filter(like="sign-flip").size and "none below 0.062 is possible" in rows.attrs["note"]


def test_where_published_figures_may_not_stand_there_is_no_column():
    dataset = make_dataset([1.0, 1.0, 0, 0, 0, 0])
    sets = regions.sets_of(dataset)
    found = compared(make_experiment(dataset), sets, names=["A", "B"], jobs=1)
    assert "published, real mice" not in compare.short_tests(found)
    assert compare.short_tests(found[:1]).empty


# Correlation with running


def test_correlations_are_pearsons_of_the_trace_less_its_centred_moving_mean():
    dataset = make_dataset([1.0, 0.3, 0, 0, -0.5, 0], n_frames=300)
    table = data_tour.correlations(dataset, baseline_frames=100)
    for recording in dataset.recordings:
        baseline = np.array([recording.signal[max(0, i - 50):i + 50].mean(axis=0) for i in range(300)])
        expected = [stats.pearsonr(recording.signal[:, k] - baseline[:, k], recording.run).statistic for k in range(6)]
        mine = table[table["recording"] == recording.id].sort_values("roi")
        np.testing.assert_allclose(mine["r"], expected, atol=1e-5)


def test_what_has_no_correlation_is_left_out():
    run = np.arange(60) % 2
    silent = noise(60, 3)
    silent[:, 1] = 4.0
    dataset = Dataset("d", (Recording(silent, {"run": run}, 30.0, "a", "s1"),
                            Recording(noise(60, 3), {"run": 0 * run}, 30.0, "a", "s2")))
    table = data_tour.correlations(dataset)
    assert list(table["roi"]) == [1, 3] and set(table["recording"]) == {"a/s1"} and np.isfinite(table["r"]).all()
    assert data_tour.correlations(replace(dataset, recordings=dataset.recordings[1:])).empty


def test_published_correlations_are_those_of_the_table_of_rois():
    known = published.roi_table()["mean_run_correlation"]
    np.testing.assert_allclose(published.roi_run_correlation(), known, atol=1e-6)


# Masking without a refit


@pytest.fixture(scope="module")
def redundant():
    """A and B carry the same; C carries nothing."""
    return make_dataset([0.5, 0.5, 0.5, 0.5, 0, 0], shared=(0, 1, 2, 3), n_frames=800)


def test_masked_scores_are_those_of_the_weights_without_the_group(redundant):
    experiment = make_experiment(redundant)
    found = occlusion.mask_rois(experiment, GROUPS, "logistic", jobs=1).set_index(["fold", "group", "fill"])["auc"]
    by_id = {r.id: r for r in redundant.recordings}
    for fold in experiment.split.folds:
        train = np.concatenate([by_id[s.recording].signal for s in fold.train]).astype(float)
        run = np.concatenate([by_id[s.recording].run for s in fold.train])
        offset, scale = train.mean(axis=0), train.std(axis=0)
        weights = LogisticRegression(max_iter=1000).fit((train - offset) / scale, run).coef_[0]
        test = np.concatenate([by_id[s.recording].signal for s in fold.test])
        labels = np.concatenate([by_id[s.recording].run for s in fold.test])
        for group, rois in {"": (), **GROUPS}.items():
            others = np.ones(6)
            others[[roi - 1 for roi in rois]] = 0
            expected = roc_auc_score(labels, ((test - offset) / scale) @ (weights * others))
            for fill in ("zero", "mean") if group else ("none",):  # a constant does not move the order of outputs
                assert found[fold.name, group, fill] == pytest.approx(expected, abs=1e-4)


def test_unmasked_it_is_the_fold_itself_to_the_bit_also_in_processes(redundant):
    experiment = make_experiment(redundant, "raw", WindowSpec(2, 2), epochs=1)
    experiment = replace(experiment, split=replace(experiment.split, folds=experiment.split.folds[:2]))
    found = occlusion.mask_rois(experiment, {"A": (1, 2)}, "gru", jobs=2)
    whole = found[found["group"] == ""].set_index("fold")["auc"].to_dict()
    assert whole == {f.fold: f.scores["auc"] for f in engine.run(experiment, ["gru"], jobs=1)}
    pd.testing.assert_frame_equal(found, occlusion.mask_rois(experiment, {"A": (1, 2)}, "gru", jobs=1))


def test_finished_folds_are_read_and_only_those_that_ask_the_same(redundant, tmp_path):
    experiment = make_experiment(redundant)
    found = occlusion.mask_rois(experiment, GROUPS, "logistic", tmp_path, jobs=1)
    files = sorted(tmp_path.glob("*.masked.json"))
    assert len(files) == len(experiment.split.folds)
    files[0].write_text(files[0].read_text().replace('"auc": 0.', '"auc": 0.0'))
    again = occlusion.mask_rois(experiment, GROUPS, "logistic", tmp_path, jobs=1)
    assert (again["auc"] < 0.1).sum() == 7 and len(again) == len(found)  # one fold: whole, three groups, two fills
    other = occlusion.mask_rois(experiment, {"A": GROUPS["A"]}, "logistic", tmp_path, jobs=1)
    assert (other["auc"] > 0.1).all() and len(sorted(tmp_path.glob("*.masked.json"))) == 2 * len(files)
    assert occlusion.mask_rois(experiment, {}, "logistic", tmp_path).empty


def test_a_fold_with_one_class_has_no_rows():
    dataset = make_dataset([1.0] * 6)
    recordings = tuple(replace(r, behaviour={"run": 0 * r.run}) if r.animal == "a0" else r for r in dataset.recordings)
    found = occlusion.mask_rois(make_experiment(replace(dataset, recordings=recordings)), GROUPS, "logistic", jobs=1)
    assert set(found["animal"]) == {"a1", "a2"} and np.isfinite(found["auc"]).all()


# What groups are worth


def worth(dataset):
    experiment, sets = make_experiment(dataset), regions.sets_of(dataset)
    found = compared(experiment, sets, jobs=1)
    masked = occlusion.mask_rois(experiment, sets.groups, "logistic", jobs=1)
    return found, sets, regions.effects(found, sets, masked)


def test_redundant_groups_decode_alone_and_are_not_missed(redundant):
    found, sets, table = worth(redundant)
    mean = table.groupby(["way", "group"])["value"].mean()
    assert mean[ALONE, "A"] > 0.7 and mean[ALONE, "B"] > 0.7 and abs(mean[ALONE, "C"] - 0.5) < 0.06
    assert abs(mean[REFIT]).max() < 0.02
    by_name = {r.name: r for r in found}
    a, whole = by_name["without A"].values(), by_name["all 6"].values()
    for animal in redundant.animals:
        mine = [whole[f] - a[f] for f in whole if f.startswith(f"test={animal}")]
        row = table[(table["group"] == "A") & (table["way"] == REFIT) & (table["animal"] == animal)]
        assert row["value"].item() == pytest.approx(np.mean(mine))
    assert sets.all == "all 6"


def test_a_group_that_cancels_the_noise_of_another_is_leant_on_yet_replaceable():
    # A follows running under noise that B and C both know. Refitted without B the decoder reads the noise from C.
    rng, dataset = np.random.default_rng(5), make_dataset([1.0, 1.0, 0, 0, 0, 0], noise=0.3)
    recordings = []
    for r in dataset.recordings:
        common = 2.0 * rng.normal(size=(r.n_frames, 1))
        recordings.append(replace(r, signal=r.signal + common))
    table = worth(replace(dataset, recordings=tuple(recordings)))[2]
    mean = table.groupby(["way", "group"])["value"].mean()
    assert mean[ALONE, "A"] < 0.7 and mean[REFIT, "A"] > 0.3  # alone it says little, and nothing goes without it
    for group in ("B", "C"):
        assert abs(mean[ALONE, group] - 0.5) < 0.06 and abs(mean[REFIT, group]) < 0.03
        assert mean[ZERO, group] > mean[REFIT, group] + 0.1 and mean[MEAN, group] == pytest.approx(mean[ZERO, group])


def test_means_stand_with_t_intervals_over_animals():
    half = stats.t.ppf(0.975, 2) * 0.1 / np.sqrt(3)
    expected = f"0.200 ({0.2 - half:.3f} to {0.2 + half:.3f})"
    assert regions.mean_and_interval(pd.Series([0.1, 0.2, 0.3])) == expected
    assert regions.mean_and_interval(pd.Series([0.1])) == "0.100"


def test_losses_and_areas_under_a_curve_have_intervals_within_their_bounds():
    effects = pd.DataFrame([{"group": "A", "way": way, "value": value} for way, values in
                            ((ALONE, [1.0, 0.99, 0.9]), (REFIT, [0.3, -0.1, 0.01])) for value in values])
    row = regions.worth(effects).iloc[0]
    assert row["group"] == "A" and list(row.index) == ["group", ALONE, REFIT]
    for way, (low, high) in ((ALONE, (0, 1)), (REFIT, (-1, 1))):
        found = statistics.t_interval(effects.loc[effects["way"] == way, "value"], (low, high))
        assert row[way] == f"{found.estimate:.3f} ({found.low:.3f} to {found.high:.3f})"
        assert low < found.low and found.high < high
    assert regions.worth(effects[:0]).empty


def test_what_a_group_is_worth_is_known_of_trainings_that_have_converged_only(redundant):
    experiment, sets = make_experiment(redundant), regions.sets_of(redundant)
    found = compared(experiment, sets, jobs=1)
    masked = occlusion.mask_rois(experiment, sets.groups, "logistic", jobs=1)
    falling = History([1.0, 0.5], [1.0, 0.5], 1)

    def effects(*names):
        some = [replace(one, folds=[replace(fold, history=falling) for fold in one.folds]) if one.name in names else one
                for one in found]
        table = regions.effects(some, sets, masked)
        return table, set(table.loc[~table["converged"], ["group", "way"]].itertuples(index=False, name=None))

    table, none = effects()
    assert none == set() and effects("A")[1] == {("A", ALONE)} and effects("without B")[1] == {("B", REFIT)}
    with_all, unsure = effects(sets.all)
    assert unsure == {(group, way) for group in GROUPS for way in (REFIT, ZERO, MEAN)}
    assert with_all["value"].tolist() == table["value"].tolist()  # the card keeps all numbers


def test_where_one_area_is_driven_only_that_is_found_and_only_that_is_missed():
    dataset = widefield.dataset(widefield.SimulationSettings(
        world="single_area", animals=3, sessions_per_animal=3, seed=123, frames_per_session=1200))
    sets = replace(regions.sets_of(dataset), limbs={}, sides={})
    found = compared(Experiment(dataset, "animal_pairs", Traces("published", WindowSpec(0, 0)),
                                training=TrainingSettings(seed=123)), sets, jobs=1)
    mean = regions.effects(found, sets).groupby(["way", "group"])["value"].mean()
    alone, lost = mean[ALONE], mean[REFIT]
    assert alone.idxmax() == "FL&HL" and alone["FL&HL"] > 0.6 and alone.drop("FL&HL").between(0.43, 0.57).all()
    assert lost.idxmax() == "FL&HL" and lost["FL&HL"] > 0.2 and lost.drop("FL&HL").abs().max() < 0.05
    # The others know the arousal that hides running in the driven area.
    whole, alone, rest = (np.mean(list(r.values().values())) for name in ("all 50", "FL&HL", "without FL&HL")
                          for r in found if r.name == name)
    assert whole > alone + 0.03 and rest < 0.6


def test_what_was_planted_is_what_the_simulation_says():
    simulation.ensure("simulated-small")
    settings = widefield.SimulationSettings(seed=6, animals=3, sessions_per_animal=2, frames_per_session=2100,
                                            drive=2.5, noise=0.1, arousal=0.15, drift=0.3)
    dataset = Dataset("simulated-small", widefield.dataset(replace(settings, animals=1)).recordings)
    sets = regions.sets_of(dataset)
    truth, statement = regions.ground_truth(dataset, sets.groups)
    assert "paper_like" in statement and list(truth["group"]) == list(sets.groups)
    stride = widefield.informative_areas(settings)["stride"]
    shares = np.mean([widefield.simulate_session(settings, *s).shares()["driven"] for s in settings.sessions()], axis=0)
    for row in truth.itertuples():
        columns = np.array(sets.groups[row.group]) - 1
        assert row.stride == pytest.approx(stride[columns].mean())
        assert row.share_driven == pytest.approx(shares[columns].mean(), abs=1e-6)


def test_without_truth_it_says_so(study_like, redundant):
    for dataset, why in ((study_like, "study-like"), (redundant, "not simulated")):
        truth, statement = regions.ground_truth(dataset, regions.sets_of(dataset).groups)
        assert truth.empty and why in statement


def test_without_groups_nothing_is_compared_and_nothing_breaks():
    dataset = make_dataset([1.0, 0, 0, 0], names=("1", "2", "3", "4"))
    found, _, table = worth(dataset)
    assert [r.name for r in found] == ["all 4"] and table.empty and compare.short_tests(found).empty
    assert {"group", "way", "animal", "value"} <= set(table)


# The price of choosing


def test_inner_animals_choose_the_driven_group():
    dataset = make_dataset([1.0, 1.0, 0.2, 0, 0, 0])
    asked = regions.restricted(make_experiment(dataset), regions.sets_of(dataset))
    asked = {name: ("logistic", asked[name].input) for name in ("A", "B", "C")}
    scores = nested.run(dataset, asked, TrainingSettings(), jobs=1)
    assert set(scores["chosen on the others"]) == {"A"}
