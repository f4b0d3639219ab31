"""The commands that fit and keep a decoder and apply it to a recording without labels."""

import numpy as np
import pandas as pd
import pytest

import calcium_decoding as cd
from calcium_decoding import cli
from calcium_decoding.data import readers
from calcium_decoding.preprocessing.windows import WindowSpec

FIT = ["decode", "fit", "--dataset", "mine", "--window", "3", "2", "--epochs", "2"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a data set called mine and a recording of the same neurons without labels."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "data" / "mine").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for animal in ("m1", "m2", "m3", "new"):
        state = np.repeat(rng.permutation(np.arange(15) % 3), 20)
        signal = 3.0 * (state[:, None] == range(3)) + rng.normal(size=(300, 3))
        labels = {} if animal == "new" else {"run": state > 0, "state": state, "depth": 4.0 * state}
        where = folder / ("data/mine" if labels else ".") / f"{animal}.npz"
        readers.write_npz(cd.Recording(signal, labels, 20.0, animal, "s", roi_names=("x", "y", "z")), where)
    frames = pd.DataFrame({"frame": range(300), **{f"roi_{name}": signal[:, i] for i, name in enumerate("xyz")}})
    about = "# animal: new\n# rate_hz: 20\n# signal_unit: dF/F (%)\n"
    (folder / "new.csv").write_text(about + frames.to_csv(index=False))
    (folder / "data_manifest.yaml").write_text("entries:\n  mine: {kind: local, title: Mine, "
                                               "format: npz, folder: mine, regime: animal_pairs}\n")
    return folder


@pytest.fixture
def command(place, monkeypatch, capsys):
    """Runs the command in that folder; gives its exit status and what it printed."""
    monkeypatch.chdir(place)
    monkeypatch.delenv("CALCIUM_DECODING_DATA", raising=False)

    def run(*words):
        status = cli.main([str(word) for word in words])
        return status, *capsys.readouterr()

    return run


@pytest.mark.parametrize(("words", "task", "columns"), [
    (["--decoder", "logistic"], cd.Binary(), ["probability"]),
    (["--decoder", "gru", "--target", "classes:state"], cd.Classes("state"),
     ["class", "probability_0", "probability_1", "probability_2"]),
    (["--decoder", "linear", "--target", "depth", "--preprocessing", "scaled"], cd.Continuous("depth"), ["depth"])])
def test_a_decoder_is_fitted_kept_and_applied(command, place, words, task, columns):
    out, path = place / "out.csv", place / "kept" / "decoder.safetensors"
    status, said, _ = command(*FIT, *words, "--fold", 1, "--out", path)
    e = cd.Experiment(cd.load_dataset("mine"), input=cd.Traces("scaled" if "scaled" in words else "auto",
                                                                WindowSpec(3, 2)),
                      task=task, decoders=[words[1]], training=cd.TrainingSettings(epochs=2))
    one = e.fitted(words[1], 1)
    score = one.provenance["scores"][task.main_score]
    assert status == 0 and said.count("\n") == 1 and e.split.folds[1].name in said and "SIMULATED" not in said
    assert f"{task.main_score.replace('_', ' ')} {score:.3f}" in said and "trained on 1 recordings of mine" in said

    status, said, _ = command("decode", "apply", path, "new.npz", "--out", out)
    assert status == 0 and said == f"{out}: 295 of 300 frames of new/s decoded\n"
    (new,) = cd.read("npz", "new.npz").recordings
    assert new.behaviour == {}
    table, expected = pd.read_csv(out, dtype={"class": str}), one.predict(new)
    assert list(table) == ["frame", "time_s", *columns]
    pd.testing.assert_frame_equal(table, expected.astype(table.dtypes))

    assert command("decode", "apply", path, "new.csv", "--out", out)[0] == 0
    pd.testing.assert_frame_equal(pd.read_csv(out, dtype={"class": str}), table, rtol=1e-4)


@pytest.mark.parametrize(("words", "says"), [
    ([*FIT, "--fold", 6], "--fold: found 6; expected 0 to 5"), ([*FIT, "--decoder", "gur"], "'gur'"),
    ([*FIT, "--target", "binary:lick"], "'lick'"), ([*FIT, "--target", "trinary:lick"], "binary:NAME, classes:NAME"),
    ([*FIT, "--decoder", "linear"], "'linear', which decodes continuous"), ([*FIT, "--epochs", 0], "epochs: found 0"),
    ([*FIT, "--decoder", "time_only"], "time_only"), ([*FIT, "--preprocessing", "none"], "'none'"),
    (["decode", "fit", "--dataset", "his"], "his"), ([*FIT, "--window", -1, 2], "past_frames: found -1"),
    (["decode", "apply", "no.safetensors", "new.npz"], "no.safetensors"),
    (["decode", "apply", "new.npz", "new.npz"], "new.npz: found"),
    (["decode", "apply", "no.safetensors", "new.mat"], "new.mat; expected an .npz or a .csv file"),
    (["decode", "apply", "no.safetensors", "no.npz"], "no.npz")])
def test_what_cannot_be_done_is_said_in_one_line_and_leaves_no_file(command, place, words, says):
    out = place / "never"
    status, said, error = command(*words, "--out", out)
    assert status == 1 and said == "" and not out.exists()
    line = error.splitlines()[-1]
    assert line.startswith("calcium-decoding: ") and says in line and error.count("calcium-decoding: ") == 1


def test_a_recording_that_does_not_fit_is_refused_with_what_differs(command, place):
    path = place / "fits.safetensors"
    assert command(*FIT, "--decoder", "logistic", "--out", path)[0] == 0
    (new,) = cd.read("npz", "new.npz").recordings
    faster = cd.Recording(new.signal, {}, 30.0, "new", "s", roi_names=new.roi_names)
    readers.write_npz(faster, place / "faster.npz")
    status, _, error = command("decode", "apply", path, "faster.npz", "--out", place / "never")
    assert status == 1 and error.count("\n") == 1 and "found 30 frames a second; expected 20" in error


@pytest.mark.parametrize("words", [["decode"], ["decode", "fit", "--out", "x"], ["decode", "apply", "a", "b"]])
def test_a_word_that_is_missing_is_wrong_usage(command, words, capsys):
    with pytest.raises(SystemExit, match="2"):
        command(*words)
    assert "required" in capsys.readouterr().err
