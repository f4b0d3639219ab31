"""Progress bars: steps of other processes stand behind the bar, and half-written files do no harm."""

import io
import threading
import time

import pytest

from calcium_decoding.experiments import engine
from calcium_decoding.utils import progress
from tests.experiments.test_engine import experiment


@pytest.fixture(autouse=True)
def text_bars(monkeypatch):
    monkeypatch.setenv(progress.BATCH_VARIABLE, "1")
    monkeypatch.setattr(progress, "LOOK_EVERY_S", 0.01)


def test_steps_are_summed_over_the_jobs_at_work(tmp_path):
    one, other = (progress.StepFile(tmp_path / name) for name in ("one", "other"))
    assert progress.steps_in(tmp_path) == (0, 0)
    one(3, 30)
    other(0, 30)
    other(5, 30)
    assert progress.steps_in(tmp_path) == (8, 60)
    for half in ("", "3", "x y"):
        (tmp_path / "half").write_text(half)
        assert progress.steps_in(tmp_path) == (8, 60)
    one.remove()
    one.remove()
    assert progress.steps_in(tmp_path) == (5, 30)


def test_a_folder_that_is_gone_stops_nobody(tmp_path):
    step = progress.StepFile(tmp_path / "gone" / "one")
    step(1, 2)
    step.remove()


def watchers():
    return [thread for thread in threading.enumerate() if thread.name == "steps of a bar"]


def shown(bar_text, wanted):
    deadline = time.monotonic() + 20
    while wanted not in bar_text.getvalue():
        assert time.monotonic() < deadline, bar_text.getvalue()
        time.sleep(0.01)


def test_the_bar_shows_the_steps_as_they_come(tmp_path):
    text = io.StringIO()
    step = progress.StepFile(tmp_path / "one")
    with progress.progress(None, total=4, desc="folds", file=text) as bar:
        with progress.steps_shown(bar, tmp_path, "epochs"):
            assert len(watchers()) == 1
            step(2, 30)
            shown(text, "2 of 30 epochs")
            step(3, 30)
            shown(text, "3 of 30 epochs")
            step.remove()
        bar.update(4)
    assert text.getvalue().rstrip().rpartition("\r")[2].startswith("folds: 100%") and "4/4" in text.getvalue()
    assert "epochs" not in text.getvalue().rpartition("\r")[2]
    assert not watchers()


def test_a_bar_that_is_off_needs_no_watcher(tmp_path):
    with progress.progress(None, total=0, disable=True) as bar, progress.steps_shown(bar, tmp_path, "epochs"):
        assert not watchers()


def test_a_run_shows_folds_and_epochs(tiny_dataset, capsys):
    e = experiment(tiny_dataset, epochs=60)
    e = engine.replace(e, split=engine.replace(e.split, folds=e.split.folds[:2]))
    engine.run(e, ["gru"], jobs=1, label="decoders")
    err = capsys.readouterr().err
    assert "decoders: 100%" in err and "2/2" in err and " of 60 epochs" in err
