"""Entries of a lab stand in a file of its own; `data add` writes them after reading what they name."""

import shutil

import numpy as np
import pandas as pd
import pytest
import yaml

import calcium_decoding as cd
from calcium_decoding import cli
from calcium_decoding.data import catalog, download, lab, readers
from calcium_decoding.data.readers import write_npz
from calcium_decoding.data.recording import suitable_regime
from calcium_decoding.errors import DataError, ParameterError

N, RATE = 600, 20.0
STATE = (np.sin(np.arange(N) / 30) > 0).astype(float)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A project with one entry, and a lab's folder with recordings without labels and their wheel at 100 Hz in ms."""
    project, own = tmp_path / "project", tmp_path / "lab"
    project.mkdir()
    (project / "data_manifest.yaml").write_text("entries:\n  taken: {kind: local, title: Taken, format: npz, "
                                                "folder: taken, regime: blocked}\n")
    rng = np.random.default_rng(0)
    for animal in ("m1", "m2", "m3"):
        signal = rng.normal(size=(N, 3)) + 2 * STATE[:, None]
        write_npz(cd.Recording(signal, {}, RATE, animal, "day1"), own / "recordings" / f"{animal}.npz")
        at = np.arange(-5, 5 * N + 5) / 100
        speed = np.where(np.interp(at, np.arange(N) / RATE, STATE) > 0.5, 8.0, 0.1)
        (own / "wheel").mkdir(exist_ok=True)
        pd.DataFrame({"t_ms": at * 1e3, "speed_cm_s": speed, "raw": speed}).to_csv(own / f"wheel/{animal}_day1.csv",
                                                                                  index=False)
    monkeypatch.chdir(project)
    monkeypatch.delenv("CALCIUM_DECODING_MANIFEST", raising=False)
    monkeypatch.delenv("CALCIUM_DECODING_DATA", raising=False)
    return own


ADD = ["--behaviour", "{}/wheel/{{animal}}_{{session}}.csv", "time=t_ms", "columns=[speed_cm_s]",
       "--label", "run", "from=speed_cm_s", "above=4"]


def added(place, *more, name="mine"):
    words = [word.format(place) for word in ADD]
    return cli.main(["data", "add", name, f"{place}/recordings", "--manifest", f"{place}/lab.yaml", *words, *more])


def test_an_entry_is_added_and_everything_sees_it(place, capsys, monkeypatch):
    assert added(place) == 0
    said = capsys.readouterr().out
    assert "m1/day1: 600 frames of 3 ROIs at 20 Hz; behaviour speed_cm_s, run" in said and "animal_pairs" in said
    entry = yaml.safe_load((place / "lab.yaml").read_text())["entries"]["mine"]
    assert entry == {
        "kind": "local", "title": "mine", "format": "npz", "folder": "recordings", "regime": "animal_pairs",
        "behaviour": [{"file": "wheel/{animal}_{session}.csv",
                       "options": {"time": "t_ms", "columns": ["speed_cm_s"]}}],
        "label": {"run": {"from": "speed_cm_s", "above": 4}}}
    with pytest.raises(DataError, match="no entry called 'mine'"):
        cd.load_dataset("mine")
    monkeypatch.setenv("CALCIUM_DECODING_MANIFEST", str(place / "lab.yaml"))
    dataset = cd.load_dataset("mine")
    assert dataset.name == "mine" and dataset.regime == "animal_pairs" and dataset.animals == ("m1", "m2", "m3")
    for recording in dataset.recordings:  # the label is that which the simulation put there, but for its edges
        usable = np.concatenate([np.arange(*stretch) for stretch in recording.stretches])
        assert np.mean(recording.run[usable] == STATE[usable]) > 0.98 and len(usable) > 0.99 * N
    assert cli.main(["data", "list"]) == 0
    listed = capsys.readouterr().out
    assert {line.split()[0]: line.split()[-1] for line in listed.splitlines()[1:]} == {"taken": "missing",
                                                                                       "mine": "present"}
    assert cli.main(["data", "verify", "mine"]) == 0
    assert "6 without a sum" in capsys.readouterr().out  # recordings and behaviour
    moved = shutil.move(place, place.parent / "moved")  # paths are relative to the manifest
    monkeypatch.setenv("CALCIUM_DECODING_MANIFEST", f"{moved}/lab.yaml")
    assert cd.load_dataset("mine").content_hash() == dataset.content_hash()


def test_what_cannot_be_read_is_not_written(place, capsys):
    manifest = place / "lab.yaml"
    for more, says in ((["--label", "lick", "from=licks", "above=1"], "'licks'"), (["--option", "x=1"], "the option x"),
                       (["--regime", "random"], "regime"), (["--option", "x"], "KEY=VALUE"),
                       (["--behaviour", f"{place}/wheel/m1_day1.csv", "time=t_ms"], "the one file"),
                       (["--behaviour", f"{place}/wheel/{{mouse}}.csv"], "{mouse}"),
                       (["--behaviour", f"{place}/wheel/{{animal}}.csv"], "no such file"),
                       (["--label", "x", "form=speed_cm_s"], "from"), (["--rate", "-1"], "rate_hz")):
        assert added(place, *more) == 1, more
        assert says in capsys.readouterr().err and not manifest.exists()
    np.savez(place / "recordings" / "z.npz", signal=np.full((9, 2), np.nan), rate_hz=20.0, animal="z")
    assert added(place) == 1
    assert "NaN" in capsys.readouterr().err and not manifest.exists()
    assert cli.main(["data", "add", "b", str(place / "wheel" / "m1_day1.csv"), "--manifest", str(manifest)]) == 1
    assert "data inspect" in capsys.readouterr().err
    assert cli.main(["data", "add", "mine", str(place / "recordings")]) == 1
    assert "CALCIUM_DECODING_MANIFEST" in capsys.readouterr().err


def test_a_name_is_used_once(place, capsys, monkeypatch):
    assert added(place, name="taken") == 1
    assert "data_manifest.yaml" not in capsys.readouterr().err.partition("expected")[2]
    assert added(place) == 0 and added(place) == 1
    text = (place / "lab.yaml").read_text()
    assert added(place, "--title", "Two", name="two") == 0
    assert (place / "lab.yaml").read_text().startswith(text.rstrip())
    (place / "lab.yaml").write_text(text.replace("  mine:", "  # ours\n  taken:"))
    monkeypatch.setenv("CALCIUM_DECODING_MANIFEST", str(place / "lab.yaml"))
    with pytest.raises(DataError, match=r"'taken'.*project.data_manifest\.yaml and in .*lab\.yaml"):
        catalog.load_manifest()


def test_a_manifest_that_an_entry_cannot_follow_stays_as_it_is(place, capsys):
    other = "other: {kind: local, title: O, format: npz, folder: o, regime: blocked}"
    for text in ("entries: {}\n", f"entries:\n    {other}\n"):
        (place / "lab.yaml").write_text(text)
        assert added(place) == 1
        assert "by hand" in capsys.readouterr().err and (place / "lab.yaml").read_text() == text


def test_a_missing_manifest_and_a_path_out_of_the_data_directory(place, monkeypatch):
    monkeypatch.setenv("CALCIUM_DECODING_MANIFEST", str(place / "none.yaml"))
    with pytest.raises(DataError, match="data add"):
        catalog.load_manifest()
    entry = {"kind": "local", "title": "t", "format": "npz", "folder": "../x", "regime": "blocked"}
    (place / "p.yaml").write_text(yaml.safe_dump({"entries": {"x": entry}}))
    with pytest.raises(DataError, match="folder"):  # of a project
        catalog.load_manifest(place / "p.yaml")
    found = catalog.read_manifest(place / "p.yaml", is_lab=True).entry("x")
    assert catalog.folder(found) == place / "../x" and download.status(found) == "missing"
    with pytest.raises(DataError, match="mend the folder of 'x'"):
        download.require(found)


def test_a_clock_of_frames_and_a_single_file(place):
    recording = cd.read("npz", place / "recordings" / "m1.npz").recordings[0]
    times = 100 + np.arange(N + 2) / RATE
    (place / "ttl.csv").write_text("\n".join(["ttl_s", *(f"{t:.4f}" for t in times)]))
    wheel = pd.read_csv(place / "wheel" / "m1_day1.csv")
    wheel.assign(t_ms=wheel.t_ms + 100_000).to_csv(place / "late.csv", index=False)
    asked = {"manifest": place / "lab.yaml", "behaviour": [{"file": str(place / "late.csv"), "options": {
        "time": "t_ms", "columns": ["speed_cm_s"]}, "how": "mean"}]}
    with pytest.raises(DataError, match=r"602|rule"):  # two more times than frames
        lab.add("one", place / "recordings" / "m1.npz", clock={"file": str(place / "ttl.csv")}, **asked)
    dataset = lab.add("one", place / "recordings" / "m1.npz",
                      clock={"file": str(place / "ttl.csv"), "rule": "cut_end"}, **asked)
    (found,) = dataset.recordings
    assert dataset.regime == "blocked" and found.n_frames == N
    np.testing.assert_allclose(found.times_s, times[:N], atol=1e-4)
    np.testing.assert_array_equal(found.signal, recording.signal)
    assert np.mean((found.behaviour["speed_cm_s"] > 4) == (STATE > 0)) > 0.98


def test_pulses_put_the_frames_on_the_clock_of_behaviour(place):
    taken = np.delete(np.arange(N + 20), np.arange(0, 400, 20))  # the file lacks 20 frames
    ttl = 300 + np.arange(N + 23) / RATE * (1 + 2e-4)
    for name, times in (("frames", taken / RATE), ("ttl", ttl)):
        pd.DataFrame({"time_s": times}).to_csv(place / f"{name}.csv", index=False)
    wheel = pd.DataFrame({"time_s": ttl, "speed_cm_s": np.arange(len(ttl)) % 7})
    wheel.to_csv(place / "wheel.csv", index=False)
    clock = {"file": str(place / "frames.csv"), "pulses": str(place / "ttl.csv")}
    with pytest.raises(DataError, match="which pulse is that of the first frame"):  # frame 0 is among those lacking
        lab.add("pulses", place / "recordings" / "m1.npz", manifest=place / "lab.yaml", clock=clock)
    clock["first_pulse"] = 1
    dataset = lab.add("pulses", place / "recordings" / "m1.npz", manifest=place / "lab.yaml", clock=clock,
                      behaviour=[{"file": str(place / "wheel.csv")}])
    (found,) = dataset.recordings
    np.testing.assert_allclose(found.times_s, ttl[taken])
    np.testing.assert_array_equal(found.behaviour["speed_cm_s"], taken % 7)
    assert len(found.stretches) == 20
    with pytest.raises(DataError, match=r"pulses=PULSES"):
        lab.add("two", place / "recordings" / "m1.npz", manifest=place / "lab.yaml", clock={"file": clock["pulses"]})


def test_a_label_of_the_speed_of_key_points(place):
    t, rng = np.arange(0, N / RATE, 1 / 60), np.random.default_rng(0)
    moves = np.sin(t) > 0
    x = np.cumsum(np.where(moves, 2.0, 0.0))  # 120 px/s at 60 Hz, along a slope
    rows = [f"{i},{0.6 * at:.3f},{0.8 * at:.3f},{rng.uniform(0.9, 1):.2f}" for i, at in enumerate(x)]
    heads = ["scorer,D,D,D", "bodyparts,nose,nose,nose", "coords,x,y,likelihood"]
    (place / "dlc.csv").write_text("\n".join([*heads, *rows]))
    asked = {"manifest": place / "lab.yaml",
             "behaviour": [{"file": str(place / "dlc.csv"), "options": {"rate_hz": 60}}]}
    rule = {"from": "nose", "speed_s": 0.2, "above": 80, "below": 40}
    with pytest.raises(DataError, match=r"behaviour .*nose_x.*expected 'tail_x' and 'tail_y'"):
        lab.add("dlc", place / "recordings" / "m1.npz", label={"moves": rule | {"from": "tail"}}, **asked)
    (found,) = lab.add("dlc", place / "recordings" / "m1.npz", label={"moves": rule}, **asked).recordings
    usable = np.concatenate([np.arange(*stretch) for stretch in found.stretches])
    expected = np.sin(np.arange(N) / RATE) > 0
    assert np.mean(found.behaviour["moves"][usable] == expected[usable]) > 0.93 and len(usable) > 0.95 * N
    assert found.reach["moves"][0] >= round(0.2 * RATE) and found.reach["moves"][1] == 0


def test_a_dataset_of_a_list(place):
    def some(*ids):
        return [cd.Recording(np.zeros((10, 1)), {}, RATE, *one) for one in ids]

    dataset = cd.Dataset(some(("a", "1"), ("b", "1")))
    assert (dataset.name, dataset.regime, len(dataset.recordings)) == ("mine", "blocked", 2)
    assert cd.Dataset("x", dataset.recordings).regime == "animal_pairs"  # as ever
    for ids, regime in (([("a", "1"), ("b", "1"), ("c", "1")], "animal_pairs"),
                        ([("a", "1"), ("a", "2"), ("a", "3"), ("b", "1")], "leave_one_session_out"),
                        ([("a", "1", "x"), ("a", "1", "y"), ("a", "1", "z")], "last_part"), ([("a", "1")], "blocked")):
        assert cd.Dataset(some(*ids)).regime == suitable_regime(some(*ids)) == regime
    assert cd.Dataset(some(("a", "1")), regime="last_part").regime == "last_part"
    with pytest.raises(DataError, match="no usable recording"):
        cd.Dataset([])
    with pytest.raises(DataError, match="Dataset"):
        cd.Dataset(some(("a", "1")), some(("a", "1")))


def test_animal_and_session_of_what_programs_write_are_those_of_the_folders_or_are_asked_for(tmp_path, monkeypatch):
    def read_one(path, rate_hz=20.0, animal=None, session=None):  # the readers of the formats are tested by themselves
        return cd.Recording(np.zeros((5, 1)), {}, rate_hz, animal or "of the file", session or path.stem)

    for name in ("suite2p", "minian", "inscopix", "nwb"):
        monkeypatch.setattr(readers, f"read_{name}", read_one, raising=False)
    for day in ("m1/2022.08.08", "m1/d2", "m2/d1"):
        (tmp_path / day / "suite2p/plane0").mkdir(parents=True)
        np.save(tmp_path / day / "suite2p/plane0/F.npy", np.zeros(1))
    (tmp_path / "m1" / "a.csv").touch()
    (tmp_path / "m1" / "b.nwb").touch()
    (tmp_path / "m1" / "c.zarr").mkdir()

    def ids(format, path, **options):
        return [recording.id for recording in cd.read(format, tmp_path / path, strict=True, **options).recordings]

    assert ids("suite2p", "", rate_hz=3.0) == ["m1/2022.08.08", "m1/d2", "m2/d1"]
    assert ids("suite2p", "m1", animal="x") == ["x/2022.08.08", "x/d2"]
    assert ids("suite2p", "m1/d2/suite2p/plane0", animal="x", session="y") == ["x/y"]
    assert ids("inscopix", "") == ["m1/a"] and ids("inscopix", "m1/a.csv", animal="x") == ["x/a"]
    assert ids("minian", "") == ["m1/c"] and ids("minian", "m1/c.zarr", animal="x") == ["x/c"]
    assert ids("nwb", "m1/b.nwb") == ["of the file/b"]
    with pytest.raises(DataError, match=r"no name of its animal and session.*options animal and session"):
        ids("suite2p", "m1/d2")
    with pytest.raises(ParameterError, match="the option plane"):
        ids("suite2p", "", plane=1)
    with pytest.raises(DataError, match=r"no \*\.hdf5"):
        ids("caiman", "")


def test_an_unknown_option_of_a_format_is_named(place):
    with pytest.raises(ParameterError, match="the option animal"):
        cd.read("npz", place / "recordings", animal="x")
