"""Small data sets that several test modules use."""

import os
import shutil
import signal
import subprocess
from pathlib import Path
from types import SimpleNamespace

import jupytext
import numpy as np
import pytest

from calcium_decoding.data.recording import Dataset, Recording
from calcium_decoding.simulation import widefield

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def clear_dataset():
    """Three animals, two sessions each, with a clear effect."""
    return widefield.dataset(widefield.SimulationSettings(animals=3, sessions_per_animal=2, frames_per_session=1500,
                                                          noise=0.1, drift=0.3))


@pytest.fixture(scope="session")
def tiny_dataset():
    """Three animals, two sessions each, of 300 frames and 5 ROIs; the first ROI follows running."""
    rng = np.random.default_rng(3)
    recordings = []
    for animal in range(3):
        for session in range(2):
            run = (np.sin(np.arange(300) / 15 + rng.uniform(0, 6)) > 0).astype(np.uint8)
            signal = rng.normal(size=(300, 5)) + np.outer(run, [3, 0, 0, 0, 0])
            recordings.append(Recording(signal, {"run": run}, 30.0, f"a{animal}", f"s{session}", simulated=True))
    return Dataset("tiny", tuple(recordings))


@pytest.fixture(scope="session")
def real_data_dir():
    """The data directory named by CALCIUM_DECODING_DATA; tests of real recordings skip without it."""
    folder = os.environ.get("CALCIUM_DECODING_DATA", "")
    if not folder or not (Path(folder) / "isfn_widefield").is_dir() or not (Path(folder) / "multiple_maps").is_dir():
        pytest.skip("real recordings: CALCIUM_DECODING_DATA names no folder with isfn_widefield and multiple_maps")
    return Path(folder)


def copy_of_the_project(folder):
    """A copy of what a run needs, so that tests change no file of the project."""
    for name in ("data_manifest.yaml", "_config.yml", "_toc.yml", "jupytext.toml"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "book", folder / "book", ignore=shutil.ignore_patterns("*.ipynb", ".*"))
    return folder


def started_alone(command, **options):
    """A process with a group of its own that Ctrl-C stops; options as for :class:`subprocess.Popen`."""
    # A shell's background job, as these tests may be, ignores Ctrl-C, and so would whatever it starts.
    return subprocess.Popen(command, start_new_session=True,
                            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL), **options)


@pytest.fixture
def checkout(tmp_path):
    """A folder to run in; see :func:`copy_of_the_project`."""
    return copy_of_the_project(tmp_path)


def run_cells(name, /, *holding, **names):
    """Run cells of a chapter, each the one that holds a text, on names made by hand, after the cell of imports.

    Returns the names they leave, with ``page``: the tables that a page would show.
    """
    cells = [c.source for c in jupytext.read(ROOT / "book" / f"{name}.py").cells if c.cell_type == "code"]
    after = {}
    exec(cells[0], after)
    after |= names | {"page": []}
    after["tables"] = SimpleNamespace(**vars(after["tables"]) | {
        "show": lambda table, **how: after["page"].append(table)})
    for text in holding:
        (source,) = [source for source in cells if text in source]
        exec(source, after)
    return after


def title_of(ax):
    """Title of a panel, wherever the style of figures puts it."""
    return "".join(ax.get_title(loc=place) for place in ("left", "center", "right"))
