"""Simulated sets have the same bytes whatever the arithmetic of the processor."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from calcium_decoding.utils.files import file_digest
from decoding_book.references import ARITHMETIC

# Those of references, where numpy and the C library also do without what the oldest of them lacks.
OLDEST = ARITHMETIC[-1] | {
    "NPY_DISABLE_CPU_FEATURES": " ".join(np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])),
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX,-AVX2,-FMA,-FMA4"}
WAYS = (*ARITHMETIC[:-1], OLDEST)

WIDEFIELD = """
from calcium_decoding.data import readers
from calcium_decoding.simulation import widefield
settings = widefield.SimulationSettings(animals=2, sessions_per_animal=1, frames_per_session=600, movies=True)
widefield.write_dataset(settings, folder)
made, found = widefield.dataset(settings), readers.read_study(folder)
unrounded = sum(widefield.simulate_session(settings, 1, 0).components().values())
"""
FOOTSTEPS = """
from calcium_decoding.data import readers
from calcium_decoding.simulation.footsteps import world, world_files
settings = world.World(animals=2, sessions=1, frames=600, min_cells=600, max_cells=600)
world_files.write(settings, folder)
made, found = world.simulate(settings)[0], readers.read("footsteps", folder)
unrounded = world.simulate_session(settings, 1, 1).rates_hz
"""
HASHES = """
import hashlib, json, sys
from pathlib import Path
folder = Path(sys.argv[1])
{}
print(json.dumps([made.content_hash(), found.content_hash(), hashlib.sha256(unrounded.tobytes()).hexdigest()]))
"""


@pytest.mark.parametrize("simulation", [WIDEFIELD, FOOTSTEPS], ids=["widefield", "footsteps"])
def test_bytes_do_not_depend_on_the_processor(simulation, tmp_path):
    files, hashes = [], []
    for i, how in enumerate(WAYS):
        folder = tmp_path / str(i)
        done = subprocess.run([sys.executable, "-c", HASHES.format(simulation), folder], env=os.environ | how,
                              stdout=subprocess.PIPE, text=True, check=True)
        hashes.append(json.loads(done.stdout))
        files.append({p.relative_to(folder).as_posix(): file_digest(p) for p in folder.rglob("*") if p.is_file()})
    in_memory, from_files, unrounded = zip(*hashes, strict=True)
    if len(set(unrounded)) == 1:
        pytest.skip("numpy, BLAS and the C library have one arithmetic here: nothing could differ")
    assert len({*in_memory, *from_files}) == 1
    assert files[0] and all(other == files[0] for other in files)
