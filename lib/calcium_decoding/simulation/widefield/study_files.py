"""Write a simulated data set as the files of the study, with the truth beside them."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import joblib
import numpy as np
import pandas as pd

from calcium_decoding.data import catalog
from calcium_decoding.data.movies import write_movie
from calcium_decoding.errors import ParameterError, WriteError
from calcium_decoding.preprocessing.transforms import moving_mean
from calcium_decoding.simulation.signals import write_mat
from calcium_decoding.simulation.widefield import movie
from calcium_decoding.simulation.widefield.brains import anatomy
from calcium_decoding.simulation.widefield.session import informative_areas, simulate_session
from calcium_decoding.simulation.widefield.worlds import FRAME_PX, SimulationSettings
from calcium_decoding.utils.code import code_digest
from calcium_decoding.utils.files import whole_file, write_json, write_text
from calcium_decoding.utils.progress import progress

TABLE = "data_64_5mice.csv"
BASELINE_FRAMES = 1000  # of the assembled, preprocessed traces; Ajioka et al. 2024


def write_dataset(settings, folder, jobs=1):
    """Simulate all animals and write them as the study's files (see ``read_study``), with the truth beside.

    ``truth.npz`` and ``truth.json``: see :func:`truth_of`. The session table is written last and marks the set as
    complete: an interrupted simulation goes on. Files do not depend on ``jobs``, the number of processes.

    ParameterError: the folder holds a simulation with other settings, or of another version of the simulator.
    WriteError: the disk has no room for the movies, or a file could not be written; nothing partial is left.
    """
    folder = Path(folder)
    _check_folder(settings, folder)
    _check_room(settings, folder)
    write_json(folder / "truth.json", _description(settings))
    sessions = settings.sessions()
    work = (joblib.delayed(_write_session)(settings, animal, session, folder) for animal, session in sessions)
    parallel = joblib.Parallel(n_jobs=min(jobs, len(sessions)), return_as="generator")
    done = list(progress(parallel(work), total=len(sessions), desc=f"simulate {settings.world}", unit="session"))
    _write_assembled(done, folder)
    with whole_file(folder / "truth.npz") as temporary:
        np.savez_compressed(temporary, **truth_of(settings, done))
    rows = [{"Data_ID": s["name"], "mouse_No.": s["animal"], "Signal_Path": _signal_path(s["name"])} for s in done]
    write_text(folder / TABLE, pd.DataFrame(rows).to_csv(index=False))


def settings_of(entry):
    """The :class:`SimulationSettings` that a manifest entry of a simulated set asks for."""
    return SimulationSettings(entry.world, entry.seed, entry.sessions_per_animal, entry.frames_per_session,
                              **entry.settings)


def truth_of(settings, sessions):
    """The arrays of ``truth.npz``, by name:

    - ``sustained``, ``onset``, ``offset``, ``speed``, ``stride`` (50,): what the animal's own running drives in each
      ROI, gain in % dF/F before the indicator; ``blood`` (50,), %; ``lag_s`` (50,), negative: ahead.
    - ``parcels/mouse 1``... (50, 128, 128), float16: weight of each ROI in each pixel.
    - ``map_driven/mouse 1``, ``map_blood/``, ``map_motion/`` (128, 128): SD over time, % dF/F, of what the animal's own
      running puts into each pixel by neurons, blood and movement; mean over sessions. Zero where nothing links them.
    - ``shift_px/<Data_ID>`` (T, 2): movement down and right. ``gain/<Data_ID>`` (50,).
    - ``share_driven/<Data_ID>``, ``share_spontaneous/``, ``share_drift/``, ``share_noise/``, ``share_blood/``,
      ``share_motion/`` (50,): share of a ROI's variance, by component; these are correlated and need not sum to 1.
    """
    truth = {name: np.asarray(values) for name, values in informative_areas(settings).items()}
    for animal in range(1, settings.animals + 1):
        place = anatomy(settings.seed, animal, settings.parts.odd_animal == animal)
        truth[f"parcels/mouse {animal}"] = place.parcels.astype(np.float16)
        mine = [s for s in sessions if s["animal"] == animal]
        for name in ("driven", "blood", "motion"):
            truth[f"map_{name}/mouse {animal}"] = np.mean([s["maps"][name] for s in mine], axis=0)
    for s in sessions:
        truth[f"shift_px/{s['name']}"] = s["shift_px"]
        truth[f"gain/{s['name']}"] = s["gain"]
        truth |= {f"share_{name}/{s['name']}": share for name, share in s["shares"].items()}
    return truth


def _write_session(settings, animal, session, folder):
    simulated = simulate_session(settings, animal, session)
    name, signal = simulated.name, simulated.signal()
    speed = simulated.speed_cm_s.astype(np.float32)
    run = simulated.run.astype(float)
    _savemat_once(folder / _signal_path(name), {"dat_roi": signal.T})
    _savemat_once(folder / f"data_of_behavior_64_5mice/{name}_behavior.mat",
                  {"runrest": run[None], "speed_rs": speed[None]})
    path = folder / f"data_of_image_64_5mice/{name}.tif"
    if settings.movies and not path.exists():
        write_movie(path, movie.chunks(simulated), (len(signal), FRAME_PX, FRAME_PX))
    return {"name": name, "animal": animal, "signal": signal, "run": run, "speed": speed,
            "shift_px": simulated.shift_px.astype(np.float32), "gain": simulated.gain,
            "shares": simulated.shares(), "maps": simulated.maps()}


def _write_assembled(sessions, folder):
    def cells(name, of):
        return {f"{name}{a}": _cell([of(s) for s in sessions if s["animal"] == a])
                for a in dict.fromkeys(s["animal"] for s in sessions)}

    _savemat_once(folder / "runrest_5mice.mat", cells("runrest", lambda s: s["run"][None]))
    _savemat_once(folder / "speed_5mice.mat", cells("speed", lambda s: s["speed"][None]))
    _savemat_once(folder / "signal_5mice_raw.mat", cells("signal", lambda s: s["signal"].T))
    _savemat_once(folder / "signal_5mice.mat", cells(
        "signal", lambda s: (s["signal"] - moving_mean(s["signal"], BASELINE_FRAMES)).T.astype(np.float32)))


def _cell(arrays):
    cell = np.empty((1, len(arrays)), object)
    cell[0, :] = arrays
    return cell


def _savemat_once(path, variables):
    if not path.exists():
        write_mat(path, variables)


def _signal_path(name):
    return f"data_of_signal_64_5mice/{name}.mat"


def _description(settings):
    animals = range(1, settings.animals + 1)
    places = {f"mouse {a}": asdict(anatomy(settings.seed, a, settings.parts.odd_animal == a).placement)
              for a in animals}
    return {"simulated": True, "settings": asdict(settings), "simulator": _simulator(),
            "world": asdict(settings.parts), "placement": places}


def _simulator():
    return code_digest(*catalog.simulator_rooms(""))


def _check_folder(settings, folder):
    path = folder / "truth.json"
    if not path.exists():
        return
    found = json.loads(path.read_text(encoding="utf-8"))
    if found.get("settings") != asdict(settings):
        raise ParameterError(folder, "a simulation made with other settings", "an empty folder or the same settings",
                             "name another folder, or delete this one")
    if found.get("simulator") != _simulator():
        raise ParameterError(folder, "a simulation by another version of the simulator",
                             "an empty folder: sessions of two versions do not go together",
                             "name another folder, or delete this one")


def _check_room(settings, folder):
    existing = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    written = sum(p.stat().st_size for p in folder.glob("data_of_image_64_5mice/*.tif"))
    needed, free = settings.movie_bytes - written, shutil.disk_usage(existing).free
    if needed > free:
        raise WriteError(folder, f"{free / 1e9:.1f} GB free", f"{needed / 1e9:.1f} GB for the movies",
                         "free disk space, name another folder, ask for fewer or shorter sessions, or leave the "
                         "movies out (--no-movies)")
