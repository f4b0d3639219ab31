"""Training of footstep decoders: losses, mixup, patience, repeatability, interruption, scaling."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.experiments import footstep_folds, stored
from calcium_decoding.models import heads, hybrid, linear, training_footsteps
from calcium_decoding.models.training_footsteps import FitSettings
from calcium_decoding.preprocessing.windows import Windows
from calcium_decoding.splits import footstep_samples
from calcium_decoding.splits.footstep_samples import Rows

TINY = hybrid.HybridSize(8, 0.2, 4, (8, 8, 16))
SETTINGS = FitSettings(epochs=3, batch_size=32, peak_rate=0.01, patience=3)


def made_frames(n=608, n_cells=12, seed=0, gain=3.0):
    """Frames whose first cells fire with contralateral steps, the next with ipsilateral ones."""
    rng = np.random.default_rng(seed)
    footstep = np.repeat(rng.permutation(np.tile([0, 1, 0, 2], n // 16)), 4)[:n].astype(np.int64)
    signal = rng.standard_normal((len(footstep), n_cells))
    signal[:, :3] += gain * (footstep == 1)[:, None]
    signal[:, 3:6] += gain * (footstep == 2)[:, None]
    contra = np.convolve(footstep == 1, np.ones(3), "same")
    ipsi = np.convolve(footstep == 2, np.ones(3), "same")
    kinematics = np.stack([contra, np.gradient(contra), ipsi, np.gradient(ipsi)], 1)
    return footstep_folds.Frames(signal.astype(np.float32) * 5 + 7, footstep, kinematics.astype(np.float32))


@pytest.fixture(scope="module")
def frames():
    return made_frames()


@pytest.fixture(scope="module")
def rows(frames):
    found = footstep_samples.split([len(frames.footstep)], "blocked", 0, length=6, n_blocks=5)
    return Rows(found.train, found.valid, found.test)


@pytest.fixture(scope="module")
def windows(frames, rows):
    return footstep_folds.prepare(frames, rows, 6)[0]


def network(seed=0, heads=(*hybrid.CLASS_HEADS, "kinematics")):
    return hybrid.build("hybrid", 12, heads, TINY, seed)


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
    settings = FitSettings(epochs=6, peak_rate=0.03, patience=6, mixup=0.1)
    found = []
    for _ in range(2):
        trained = network()
        history = training_footsteps.fit(trained, windows["train"], windows["valid"], settings)
        found.append((history, training_footsteps.predict(trained, windows["test"])))
    assert found[0][0] == found[1][0]
    for head in found[0][1]:
        np.testing.assert_array_equal(found[0][1][head], found[1][1][head])
    decided = found[0][1]["footstep"].argmax(1)
    assert (decided == windows["test"].labels).mean() > 0.75
    settings = FitSettings(**{**vars(SETTINGS), "seed": 5})
    other = training_footsteps.fit(network(), windows["train"], windows["valid"], settings)
    assert other.train_loss[0] != found[0][0].train_loss[0]


class Interrupt(Exception):
    """Stands for Ctrl-C after some epochs."""


@pytest.mark.parametrize("stop_after", [1, -1])  # -1: after the last epoch, when training has stopped early
def test_interrupted_training_goes_on_as_if_it_had_not_been(tmp_path, windows, stop_after):
    """With mixup, dropout and an early stop, which all have to go on where they were."""
    settings = FitSettings(epochs=8, peak_rate=0.3, patience=2, mixup=0.2)
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
    settings = FitSettings(epochs=40, peak_rate=1.0, patience=2)  # a rate at which nothing is learned
    history = training_footsteps.fit(network(), windows["train"], windows["valid"], settings)
    losses_ = history.valid_loss
    assert len(losses_) < 40 and len(losses_) - 1 - history.best_epoch == 2
    assert min(losses_) == losses_[history.best_epoch]


def test_only_the_weights_that_are_named_change(windows):
    trained = network()
    before = {name: values.clone() for name, values in trained.state_dict().items()}
    head = list(trained.heads["footstep"].parameters())
    training_footsteps.fit(trained, windows["train"], windows["valid"], SETTINGS, trained=head)
    changed = {name for name, values in trained.state_dict().items() if not torch.equal(values, before[name])}
    assert changed and all(name.startswith("heads.footstep") for name in changed)
    assert all(p.requires_grad for p in trained.parameters())


def test_scaling_and_targets_see_training_frames_only(frames, rows):
    wild = footstep_folds.Frames(frames.signal.copy(), frames.footstep, frames.kinematics.copy())
    seen = np.unique(rows.train[:, None] - np.arange(6))
    outside = np.setdiff1d(np.arange(len(wild.footstep)), seen)
    wild.signal[outside] *= 100
    wild.kinematics[np.setdiff1d(np.arange(len(wild.footstep)), rows.train)] += 50
    ours, theirs = (footstep_folds.prepare(f, rows, 6, activity=True) for f in (frames, wild))
    np.testing.assert_array_equal(ours[0]["train"].gather(np.arange(50)), theirs[0]["train"].gather(np.arange(50)))
    for name in ("kinematics", "activity"):
        np.testing.assert_allclose(ours[0]["train"].targets[name], theirs[0]["train"].targets[name], atol=1e-5)
    np.testing.assert_allclose(ours[0]["train"].frames[seen].mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(ours[0]["train"].frames[seen].std(0), 1, atol=1e-5)


def test_windows_end_at_the_labelled_frame(frames, rows, windows):
    scaled = windows["test"].frames
    row = rows.test[7]
    np.testing.assert_array_equal(windows["test"].gather(np.array([7]))[0], scaled[row - 5 : row + 1])
    assert windows["test"].labels[7] == frames.footstep[row]
    with pytest.raises(DataError, match="windows"):
        Windows(scaled, np.array([2]), 6, np.array([0]), {})


def test_linear_decoders_find_what_is_planted_and_the_majority_does_not(windows):
    accuracy = {}
    for name, decoder in (("frame", linear.LinearDecoder(False)), ("window", linear.LinearDecoder(True)),
                          ("majority", linear.MajorityDecoder())):
        predicted = decoder.fit(windows["train"], windows["valid"], SETTINGS).predict(windows["test"])
        np.testing.assert_allclose(predicted["footstep"].sum(1), 1, rtol=1e-5)
        accuracy[name] = (predicted["footstep"].argmax(1) == windows["test"].labels).mean()
    share = np.bincount(windows["test"].labels).max() / len(windows["test"])
    assert accuracy["majority"] == pytest.approx(share)
    assert accuracy["frame"] > share + 0.2 and accuracy["window"] > share + 0.1


def test_a_class_that_is_missing_is_refused(windows):
    only = windows["train"].part(np.flatnonzero(windows["train"].labels != 2))
    with pytest.raises(DataError, match="ipsilateral"):
        training_footsteps.fit(network(), only, windows["valid"], SETTINGS)


@pytest.mark.parametrize("name, value", [("epochs", 0), ("batch_size", 1), ("gamma", -1), ("mixup", -0.1),
                                         ("device", "tpu"), ("every_frames", 0)])
def test_settings_out_of_range_are_refused(name, value):
    with pytest.raises(ParameterError, match=name):
        FitSettings(**{name: value})


def test_jobs_keep_what_is_done_and_repeat_nothing(tmp_path, frames, rows):
    """A second run trains only what is missing, and a damaged file is missing."""
    tasks = [footstep_folds.DecodeTask(frames, rows, model, 6, SETTINGS, "small") for model in ("logistic", "majority")]
    first = stored.run_tasks(tasks, tmp_path, jobs=1)
    files = sorted(tmp_path.glob("*.npz"))
    assert len(files) == 2
    stamps = {path: path.stat().st_mtime_ns for path in files}
    files[0].write_bytes(b"damaged")
    again = stored.run_tasks(tasks, tmp_path, jobs=1)
    assert files[1].stat().st_mtime_ns == stamps[files[1]]
    for one, other in zip(first, again, strict=True):
        assert one.facts["scores"] == other.facts["scores"]
        np.testing.assert_array_equal(one.arrays["footstep"], other.arrays["footstep"])
    other_seed = footstep_folds.DecodeTask(frames, rows, "majority", 6, FitSettings(seed=9), "small")
    assert other_seed.key() not in {task.key() for task in tasks}
