"""A simulated data set of footsteps as files of the authors' form, with the truth beside."""

import json
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.io import savemat

from calcium_decoding.data import catalog
from calcium_decoding.data.readers.footsteps import (
    COLUMNS,
    CONTRA,
    IPSI,
    KINEMATICS,
    KINEMATICS_ENDING,
    VARIABLES,
)
from calcium_decoding.errors import ParameterError
from calcium_decoding.simulation.footsteps.world import (
    AnimalTruth,
    World,
    animal_name,
    known_cells,
    session_name,
    simulate_session,
)
from calcium_decoding.utils.files import whole_file, write_json, write_text
from calcium_decoding.utils.progress import progress

FEET = {CONTRA: "R", IPSI: "L"}  # the left hemisphere is imaged


def write(world, folder):
    """Simulate all sessions and write them as the authors' files (see ``read_footsteps``), with the truth beside.

    ``truth.npz`` holds ``cells/animal 1/COLUMN`` (n_cells,) for each column of the table of cells and ``events/animal
    1/session 1`` (T, n_cells) uint8; ``truth.json`` the settings: written last, it marks the set as complete.
    """
    folder, truth = Path(folder), {}
    sessions = [(a, s) for a in range(1, world.animals + 1) for s in range(1, world.sessions + 1)]
    for animal, number in progress(sessions, desc="simulate footsteps", unit="session"):
        session = simulate_session(world, animal, number)
        name = f"{animal_name(animal)}/{session_name(number)}"
        _write_session(session, folder / name)
        truth[f"events/{name}"] = session.events
    for animal in range(1, world.animals + 1):
        cells = known_cells(world, animal)
        truth |= {f"cells/{animal_name(animal)}/{column}": cells[column].to_numpy(
            str if column == "tuning" else None) for column in cells}
    with whole_file(folder / "truth.npz") as temporary:
        np.savez_compressed(temporary, **truth)
    write_json(folder / catalog.DONE_FILES["footsteps"], {"simulated": True, "settings": asdict(world)})


def read_truth(folder):
    """World of a simulated set, and its AnimalTruth by animal, without ``steps``, which the recordings hold as labels.
    """
    folder = Path(folder)
    settings = json.loads((folder / catalog.DONE_FILES["footsteps"]).read_text(encoding="utf-8"))["settings"]
    columns, events = {}, {}
    with np.load(folder / "truth.npz", allow_pickle=False) as file:
        for name in file.files:
            kind, animal, rest = name.split("/")
            (columns if kind == "cells" else events).setdefault(animal, {})[rest] = file[name]
    return World(**settings), {animal: AnimalTruth(pd.DataFrame(columns[animal]), events[animal])
                               for animal in columns}


def world_of(entry):
    """The :class:`World` that a manifest entry asks for. ParameterError: a setting not known or out of range."""
    known = [field.name for field in fields(World)]
    if unknown := sorted(set(entry.settings) - set(known)):
        raise ParameterError(f"settings of data set '{entry.name}'", ", ".join(unknown),
                             f"settings among {', '.join(known)}", "mend their names")
    return World(seed=entry.seed, sessions=entry.sessions_per_animal, frames=entry.frames_per_session,
                 **entry.settings)


def _write_session(session, path):
    with whole_file(path.with_name(path.name + ".mat")) as temporary:
        savemat(temporary, {VARIABLES["deconvolved"]: session.deconvolved, VARIABLES["dff"]: session.dff})
    foot, first, last = session.steps
    table = pd.DataFrame(dict(zip(COLUMNS, ([FEET[f] for f in foot], first, last), strict=True)))
    with whole_file(path.with_name(path.name + ".xlsx")) as temporary:
        table.to_excel(temporary, index=False, engine="openpyxl")
    moved = pd.DataFrame({"frame": np.arange(len(session.events)),
                          **{name: session.behaviour[name] for name in KINEMATICS}})
    write_text(path.with_name(path.name + KINEMATICS_ENDING), moved.to_csv(index=False))
