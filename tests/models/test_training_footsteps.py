"""Training of footstep decoders: losses, mixup, patience, repeatability, interruption, scaling."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import r2_score, roc_auc_score
from torch.nn.functional import cross_entropy

from calcium_decoding.data.readers.footsteps import KINEMATICS
from calcium_decoding.data.recording import Dataset, Recording
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.experiments.engine import Experiment
from calcium_decoding.experiments.fitted import load_decoder
from calcium_decoding.experiments.inputs import Traces
from calcium_decoding.experiments.tasks import Binary, Classes, Continuous
from calcium_decoding.experiments.together import Together
from calcium_decoding.models import Estimator, Network, TrainingSettings, heads, hybrid, training_footsteps
from calcium_decoding.models.training_footsteps import FootstepTraining
from calcium_decoding.preprocessing.windows import CLASSES, WindowSpec
from calcium_decoding.splits.footsteps import blocked_split

TINY = hybrid.HybridSize(8, 0.2, 4, (8, 8, 16))
SETTINGS = FootstepTraining(epochs=3, batch_size=32, peak_rate=0.01, patience=3, size=TINY)
TASK = Together(Classes("footstep", {name: i for i, name in enumerate(CLASSES)}), each=CLASSES[1:],
                kinematics=Continuous(*KINEMATICS))


def made_recording(n=608, n_cells=12, seed=0, gain=3.0, animal="a"):
    """A recording whose first cells fire with contralateral steps, the next with ipsilateral ones."""
    rng = np.random.default_rng(seed)
    footstep = np.repeat(rng.permutation(np.tile([0, 1, 0, 2], n // 16)), 4)[:n].astype(np.int64)
    signal = rng.standard_normal((len(footstep), n_cells))
    signal[:, :3] += gain * (footstep == 1)[:, None]
    signal[:, 3:6] += gain * (footstep == 2)[:, None]
    contra = np.convolve(footstep == 1, np.ones(3), "same")
    ipsi = np.convolve(footstep == 2, np.ones(3), "same")
    kinematics = (contra, np.gradient(contra), ipsi, np.gradient(ipsi))
    return Recording(signal * 5 + 7, {"footstep": footstep, **dict(zip(KINEMATICS, kinematics, strict=True))}, 15.0,
                     animal, "1", simulated=True)


def made_experiment(recording, decoder="hybrid", settings=SETTINGS, length=6):
    dataset = Dataset("made up", (recording,))
    split = blocked_split(dataset, length)
    return Experiment(dataset, replace(split, folds=split.folds[:1]), Traces("scaled", WindowSpec(length - 1, 0)), TASK,
                      (decoder,), settings)


def made_job(recording, decoder="hybrid", settings=SETTINGS):
    experiment = made_experiment(recording, decoder, settings)
    return experiment.fold_task(experiment.split.folds[0], decoder)


@pytest.fixture(scope="module")
def recording():
    return made_recording()


@pytest.fixture(scope="module")
def windows(recording):
    return dict(zip(("train", "valid", "test"), made_job(recording).windows(), strict=True))


def network(settings=SETTINGS):
    return training_footsteps.build("hybrid", 12, WindowSpec(5, 0), TASK.head, settings)


def test_focal_loss_is_its_closed_form_and_with_gamma_0_the_weighted_cross_entropy():
    torch.manual_seed(0)
    logits, labels = torch.randn(20, 3), torch.arange(20) % 3
    weights = torch.tensor([0.5, 1.0, 3.0])
    p = torch.softmax(logits, 1)[torch.arange(20), labels].numpy().astype(float)
    w = weights[labels].numpy().astype(float)
    wanted = (w * (1 - p) ** 2 * -np.log(p)).sum() / w.sum()
    assert float(training_footsteps.focal_loss(logits, labels, weights, 2.0)) == pytest.approx(wanted, rel=1e-5)
    torch.testing.assert_close(training_footsteps.focal_loss(logits, labels, weights, 0.0),
                               cross_entropy(logits, labels, weights))


def test_class_weights_make_classes_count_alike_and_average_one():
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    weights = heads.class_weights(labels, 3)
    np.testing.assert_allclose(np.bincount(labels) * weights, 100 / 3)
    assert weights[labels].mean() == pytest.approx(1)
    assert heads.class_weights(np.zeros(5, int), 3).tolist() == [1, 0, 0]


def test_mixup_of_labels_is_the_weighted_mean_of_both_losses_window_by_window():
    torch.manual_seed(1)
    logits, labels, others = torch.randn(6, 3), torch.arange(6) % 3, torch.arange(6).flip(0) % 3
    share, weights = torch.tensor([1.0, 0.0, 0.5, 0.25, 0.75, 1.0]), torch.tensor([1.0, 2.0, 4.0])
    log_p = torch.log_softmax(logits, 1)
    top = bottom = 0.0
    for i in range(6):
        for part, label in ((share[i], labels[i]), (1 - share[i], others[i])):
            top += float(part * weights[label] * -log_p[i, label])
            bottom += float(part * weights[label])
    found = training_footsteps.focal_loss(logits, labels, weights, 0.0, (share, others))
    assert float(found) == pytest.approx(top / bottom, rel=1e-5)
    torch.testing.assert_close(training_footsteps.focal_loss(logits, labels, weights, 2.0, (torch.ones(6), others)),
                               training_footsteps.focal_loss(logits, labels, weights, 2.0))


def test_training_finds_what_is_planted_and_repeats_for_a_seed(windows):
    settings = FootstepTraining(epochs=6, peak_rate=0.03, patience=6, mixup=0.1)
    found = []
    for _ in range(2):
        trained = network()
        history = training_footsteps.fit(trained, windows["train"], windows["valid"], settings)
        found.append((history, training_footsteps.predict(trained, windows["test"])))
    assert found[0][0] == found[1][0]
    for head in TASK.head:
        np.testing.assert_array_equal(found[0][1][head], found[1][1][head])
    decided = found[0][1]["footstep"].argmax(1)
    assert (decided == windows["test"].labels["footstep"]).mean() > 0.75
    settings = replace(SETTINGS, seed=5)
    other = training_footsteps.fit(network(), windows["train"], windows["valid"], settings)
    assert other.train_loss[0] != found[0][0].train_loss[0]


class Interrupt(Exception):
    """Stands for Ctrl-C after some epochs."""


@pytest.mark.parametrize("stop_after", [1, -1])  # -1: after the last epoch, when training has stopped early
def test_interrupted_training_goes_on_as_if_it_had_not_been(tmp_path, windows, stop_after):
    """With mixup, dropout and an early stop, which all have to go on where they were."""
    settings = FootstepTraining(epochs=8, peak_rate=0.3, patience=2, mixup=0.2)
    whole = network()
    history = training_footsteps.fit(whole, windows["train"], windows["valid"], settings)
    assert 3 <= len(history.train_loss) < 8

    def report(done, planned):
        if done == stop_after % (len(history.train_loss) + 1):
            raise Interrupt

    checkpoint = tmp_path / "training.safetensors"
    with pytest.raises(Interrupt):
        training_footsteps.fit(network(), windows["train"], windows["valid"], settings, checkpoint, report)
    assert checkpoint.exists()
    resumed = network()
    assert training_footsteps.fit(resumed, windows["train"], windows["valid"], settings, checkpoint) == history
    for name, values in whole.state_dict().items():
        assert torch.equal(values, resumed.state_dict()[name]), name
    assert not checkpoint.exists()


def test_patience_stops_after_so_many_epochs_without_a_better_one(windows):
    settings = FootstepTraining(epochs=40, peak_rate=1.0, patience=2)  # a rate at which nothing is learned
    history = training_footsteps.fit(network(), windows["train"], windows["valid"], settings)
    losses_ = history.valid_loss
    assert len(losses_) < 40 and len(losses_) - 1 - history.best_epoch == 2
    assert min(losses_) == losses_[history.best_epoch]
    assert history.stopped_early


def test_only_the_weights_that_are_named_change(windows):
    trained = network()
    scaling = {"mean_kinematics", "sd_kinematics"}
    before = {name: values.clone() for name, values in trained.state_dict().items()}
    head = list(trained.module.heads["footstep"].parameters())
    training_footsteps.fit(trained, windows["train"], windows["valid"], SETTINGS, trained=head)
    changed = {name for name, values in trained.state_dict().items() if not torch.equal(values, before[name])}
    assert changed - scaling and all(name.startswith("module.heads.footstep") for name in changed - scaling)
    assert all(p.requires_grad for p in trained.parameters())


def test_scaling_and_targets_see_training_frames_only(recording, windows):
    rows = windows["train"].starts + 5
    seen = np.unique(rows[:, None] - np.arange(6))
    signal, behaviour = recording.signal.copy(), {k: v.copy() for k, v in recording.behaviour.items()}
    signal[np.setdiff1d(np.arange(608), seen)] *= 100
    for name in KINEMATICS:
        behaviour[name][np.setdiff1d(np.arange(608), rows)] += 50
    theirs = made_job(replace(recording, signal=signal, behaviour=behaviour)).windows()[0]
    ours = windows["train"]
    np.testing.assert_array_equal(ours.gather(np.arange(50)), theirs.gather(np.arange(50)))
    wanted, found = (TASK.head.targets(w, TASK.head.scalings(w))["kinematics"] for w in (ours, theirs))
    np.testing.assert_array_equal(found, wanted)
    activity = [training_footsteps._activity_of(w)(w) for w in (ours, theirs)]
    np.testing.assert_allclose(activity[0], activity[1], atol=1e-5)
    np.testing.assert_allclose(ours.frames[seen].mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(ours.frames[seen].std(0), 1, atol=1e-5)


def test_windows_end_at_the_labelled_frame(recording, windows):
    test = windows["test"]
    frame = test.centre[7]
    np.testing.assert_array_equal(test.gather(np.array([7]))[0], test.frames[frame - 5 : frame + 1])
    assert test.labels["footstep"][7] == recording.behaviour["footstep"][frame]
    assert test.labels["ipsilateral"][7] == (recording.behaviour["footstep"][frame] == 2)
    np.testing.assert_array_equal(test.labels["kinematics"][7], [recording.behaviour[k][frame] for k in KINEMATICS])


def test_an_experiment_scores_every_head_and_repeats_nothing(tmp_path, recording):
    """Linear decoders find what is planted, the majority does not; a second run reads what is stored."""
    found = {}
    for name in ("logistic", "logistic_window", "majority"):
        experiment = made_experiment(recording, name)
        (found[name],) = experiment.run(store=tmp_path, jobs=1)
        (again,) = experiment.run(store=tmp_path, jobs=1)
        assert again.scores == found[name].scores and again.seconds == found[name].seconds
        for part, values in found[name].others.items():
            np.testing.assert_array_equal(values, again.others[part])
        np.testing.assert_allclose(found[name].predicted.sum(1), 1, rtol=1e-5)
        np.testing.assert_array_equal(found[name].predicted[:, 1], found[name].others["contralateral/predicted"])
    share = np.bincount(found["majority"].labels).max() / len(found["majority"].labels)
    assert found["majority"].scores["accuracy"] == pytest.approx(share)
    assert found["logistic"].scores["accuracy"] > share + 0.2
    assert found["logistic_window"].scores["accuracy"] > share + 0.1
    one = found["logistic"]
    assert one.kind == "classes" and one.classes == CLASSES and one.scores["contralateral_auc"] > 0.8
    true, said = one.others["kinematics/labels"], one.others["kinematics/predicted"]
    assert one.scores["kinematics_r2_ipsi_position_mm"] == pytest.approx(r2_score(true[:, 2], said[:, 2]))
    assert one.scores["kinematics_r2"] == pytest.approx(r2_score(true, said))
    assert made_experiment(recording, "majority", replace(SETTINGS, seed=9)).key(
        experiment.split.folds[0], "majority") != experiment.key(experiment.split.folds[0], "majority")


class Mean(torch.nn.Module):
    """A layer for each head on the mean over frames."""

    def __init__(self, n_roi, n_outputs):
        super().__init__()
        self.heads = torch.nn.ModuleDict({name: torch.nn.Linear(n_roi, n) for name, n in n_outputs.items()})

    def forward(self, windows):
        """Outputs by head."""
        return {name: head(windows[:, -1]) for name, head in self.heads.items()}


class OneHead(Mean):
    """It forgets all heads but the first."""

    def forward(self, windows):
        """Outputs of one head."""
        return {"footstep": super().forward(windows)["footstep"]}


def test_a_network_of_ones_own_has_a_head_for_each_task(recording):
    settings = replace(SETTINGS, epochs=12, peak_rate=0.05, activity=True)
    (found,) = made_experiment(recording, Network(Mean), settings).run(jobs=1)
    assert found.scores["balanced_accuracy"] > 0.7 and found.scores["ipsilateral_auc"] > 0.8
    assert found.scores["kinematics_r2"] > 0.2
    with pytest.raises(DataError, match="OneHead"):
        made_experiment(recording, Network(OneHead)).run(jobs=1)


@pytest.mark.parametrize("decoder", ["lstm", "logistic", "majority"])
def test_an_event_and_one_quantity_go_together_on_any_recording(decoder):
    """Here running and speed, in two processes; scores of the main head are those of the task by itself."""
    rng = np.random.default_rng(0)
    run = np.repeat(np.tile([0, 1], 30), 10)
    signal = np.stack([run + 0.3 * rng.standard_normal(600), rng.standard_normal(600)], 1)
    dataset = Dataset("made up", (Recording(signal, {"run": run, "speed_cm_s": 5.0 * run + rng.random(600)}, 15.0, "a",
                                            "1"),))
    found = Experiment(dataset, "blocked", Traces("scaled", WindowSpec(5, 0)),
                       Together(Binary("run"), Continuous("speed")), (decoder,),
                       FootstepTraining(epochs=8, batch_size=16, peak_rate=0.02)).run(jobs=2)
    one = found[0]
    assert one.kind == "binary" and one.labels.dtype == np.uint8
    assert one.scores["auc"] == roc_auc_score(one.labels, one.predicted)
    assert one.others["speed/predicted"].shape == one.labels.shape
    assert one.scores["speed_r2"] == pytest.approx(r2_score(one.others["speed/labels"], one.others["speed/predicted"]))
    # The penalties of the ridge regression are those of hundreds of cells: of two it leaves little.
    least = {"lstm": (0.9, 0.3), "logistic": (0.9, 0.02), "majority": (-0.1, -2.0)}[decoder]
    assert found.table("auc").value.mean() > least[0] and found.table("speed_r2").value.mean() > least[1]
    assert "auc_train" in one.scores and "auc_valid" in one.scores


def test_a_fold_whose_validation_lacks_a_class_is_not_evaluable_and_says_so(recording):
    footstep = recording.behaviour["footstep"].copy()
    (valid,) = made_experiment(recording).split.folds[0].valid
    footstep[valid.start:valid.stop][footstep[valid.start:valid.stop] == 2] = 0
    lacking = replace(recording, behaviour=recording.behaviour | {"footstep": footstep})
    (found,) = made_experiment(lacking, "majority").run(jobs=1)
    assert not found.scores and "validation frames: no label 2 of 'footstep'" in found.reason
    assert found.labels.dtype == np.int64 and np.isnan(found.predicted).all()


def test_what_does_not_go_together_is_refused(recording):
    with pytest.raises(ParameterError, match="Network"):
        made_experiment(recording, Estimator(LogisticRegression()))
    with pytest.raises(ParameterError, match="gru"):
        made_experiment(recording, "gru")
    with pytest.raises(ParameterError, match="several things together"):
        made_experiment(recording).with_(task=Classes("footstep"), training=None)
    with pytest.raises(ParameterError, match="FootstepTraining"):
        made_experiment(recording, settings=TrainingSettings())
    with pytest.raises(ParameterError, match="heads"):
        Together(Classes("footstep"))
    with pytest.raises(ParameterError, match="another name"):
        Together(Classes("footstep"), Binary("each"))
    with pytest.raises(ParameterError, match="jump"):
        Together(Classes("footstep"), each=("jump",)).of(Dataset("made up", (recording,)))


class TwoHeads(torch.nn.Module):
    """A head for each of several tasks."""

    def __init__(self, n_roi, n_outputs):
        super().__init__()
        self.heads = torch.nn.ModuleDict({name: torch.nn.Linear(n_roi, n) for name, n in n_outputs.items()})

    def forward(self, windows):
        """Outputs by head."""
        return {name: layer(windows[:, -1]) for name, layer in self.heads.items()}


@pytest.mark.parametrize("decoder", ["hybrid", "lstm", TwoHeads], ids=str)
@pytest.mark.parametrize("settings", [SETTINGS, replace(SETTINGS, size="april_9", epochs=1, activity=True)],
                         ids=["tiny", "activity"])
def test_a_decoder_of_several_heads_is_saved_and_applied(recording, tmp_path, decoder, settings):
    if settings.activity and decoder is TwoHeads:
        pytest.skip("the activity head is one of the library's networks")
    planned = made_experiment(recording, decoder, settings)
    (fold,) = planned.run(store=tmp_path, jobs=1)
    one = planned.fitted(decoder, 0, tmp_path)
    found = one.predict(replace(recording, behaviour={})).set_index("frame").loc[fold.centre]
    classes = [f"footstep_probability_{name}" for name in CLASSES]
    np.testing.assert_allclose(found[classes], fold.predicted, atol=1e-6)
    assert list(found["footstep_class"]) == [CLASSES[i] for i in fold.predicted.argmax(axis=1)]
    for name in CLASSES[1:]:
        np.testing.assert_allclose(found[f"{name}_probability"], fold.others[f"{name}/predicted"], atol=1e-6)
    moves = [f"kinematics_{name}" for name in KINEMATICS]
    np.testing.assert_allclose(found[moves], fold.others["kinematics/predicted"], rtol=1e-5, atol=1e-5)
    one.save(tmp_path / "kept.safetensors")
    loaded = load_decoder(tmp_path / "kept.safetensors", None if isinstance(decoder, str) else decoder)
    pd.testing.assert_frame_equal(loaded.predict(recording), one.predict(recording), check_exact=True)


def test_a_class_that_is_missing_is_refused(windows):
    only = windows["train"].some(windows["train"].labels["footstep"] != 2)
    with pytest.raises(DataError, match="ipsilateral"):
        training_footsteps.fit(network(), only, windows["valid"], SETTINGS)


@pytest.mark.parametrize("name, value", [("epochs", 0), ("batch_size", 1), ("gamma", -1), ("mixup", -0.1),
                                         ("device", "tpu"), ("every_frames", 0)])
def test_settings_out_of_range_are_refused(name, value):
    with pytest.raises(ParameterError, match=name):
        FootstepTraining(**{name: value})
