"""A simulated data set of footsteps as files of the authors' form, with the truth beside."""

import json
import re
from pathlib import Path
from zipfile import ZipFile, ZipInfo

import numpy as np
import pandas as pd

from calcium_decoding.data.readers import footsteps
from calcium_decoding.data.readers.footsteps import CONTRA, IPSI, KINEMATICS, VARIABLES
from calcium_decoding.simulation.footsteps import world as worlds
from calcium_decoding.simulation.footsteps.world import AnimalTruth, World, animal_name, session_name
from calcium_decoding.simulation.signals import write_mat
from calcium_decoding.utils.files import whole_file, write_json, write_text
from calcium_decoding.utils.progress import progress

FEET = {CONTRA: "R", IPSI: "L"}  # the left hemisphere is imaged


def write(world, folder):
    """Simulate all sessions and write them as the authors' files (see ``read_footsteps``), with the truth beside.

    Files do not depend on the processor, nor on the time of writing.
    ``truth.npz`` holds ``cells/animal 1/COLUMN`` (n_cells,) for each column of the table of cells and ``events/animal
    1/session 1`` (T, n_cells) uint8; ``truth.json`` the settings.
    """
    folder, truth = Path(folder), {}
    sessions = [(a, s) for a in range(1, world.animals + 1) for s in range(1, world.sessions + 1)]
    for animal, number in progress(sessions, desc="simulate footsteps", unit="session"):
        session = worlds.simulate_session(world, animal, number)
        name = f"{animal_name(animal)}/{session_name(number)}"
        _write_session(session, folder / name)
        truth[f"events/{name}"] = session.events
    for animal in range(1, world.animals + 1):
        cells = worlds.known_cells(world, animal)
        truth |= {f"cells/{animal_name(animal)}/{column}": cells[column].to_numpy(
            str if column == "tuning" else None) for column in cells}
    with whole_file(folder / "truth.npz") as temporary:
        np.savez_compressed(temporary, **truth)
    write_json(folder / "truth.json", {"simulated": True, "settings": world.model_dump()})


def read_truth(folder):
    """World of a simulated set, and its AnimalTruth by animal."""
    folder = Path(folder)
    settings = json.loads((folder / "truth.json").read_text(encoding="utf-8"))["settings"]
    columns, events = {}, {}
    with np.load(folder / "truth.npz", allow_pickle=False) as file:
        for name in file.files:
            kind, animal, rest = name.split("/")
            (columns if kind == "cells" else events).setdefault(animal, {})[rest] = file[name]
    return World(**settings), {animal: AnimalTruth(pd.DataFrame(columns[animal]), events[animal])
                               for animal in columns}


def world_of(entry):
    """The :class:`World` that a manifest entry asks for. ParameterError: a setting not known or out of range."""
    return World(seed=entry.seed, sessions=entry.sessions_per_animal, frames=entry.frames_per_session, **entry.settings)


def _write_session(session, path):
    write_mat(path.with_name(path.name + ".mat"), {VARIABLES["deconvolved"]: session.deconvolved,
                                                   VARIABLES["dff"]: session.dff})
    foot, first, last = session.steps
    table = pd.DataFrame(dict(zip(footsteps.COLUMNS, ([FEET[f] for f in foot], first, last), strict=True)))
    _write_table(path.with_name(path.name + ".xlsx"), table)
    moved = pd.DataFrame({"frame": np.arange(len(session.events)),
                          **{name: session.behaviour[name] for name in KINEMATICS}})
    write_text(path.with_name(path.name + footsteps.KINEMATICS_ENDING), moved.to_csv(index=False))


def _write_table(path, table):
    """Write a table as ``.xlsx``, without the time of writing."""
    with whole_file(path) as temporary:
        table.to_excel(temporary, index=False, engine="openpyxl")
        with ZipFile(temporary) as file:
            parts = {name: file.read(name) for name in file.namelist()}
        properties = "docProps/core.xml"
        parts[properties] = re.sub(rb"\d{4}-\d\d-\d\dT[\d:]+Z", b"2000-01-01T00:00:00Z", parts[properties])
        with ZipFile(temporary, "w") as file:
            for name, content in parts.items():
                file.writestr(ZipInfo(name), content)  # with the date of a ZipInfo: 1980
