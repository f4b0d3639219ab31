"""The notebooks that nbval compares, and what of their numbers another processor may print otherwise."""

import os
import re
import tempfile
from pathlib import Path
from unittest import mock

import nbformat

from calcium_decoding.data import catalog
from calcium_decoding.evaluation.cards import ResultCard
from calcium_decoding.utils.files import write_text
from decoding_book import execute
from decoding_book.parameters import CHAPTERS

CARD_TAG = "nbval-check-output"
VARYING = "varying.cfg"  # beside the references, in the form of nbval's option --nbval-sanitize-with
# Arithmetic of kinds of processors: of this one; of one with AVX2; of one with SSE only. What sums in another order
# differs in the last bit, and a network that is trained for two dozen steps may make much of that.
ARITHMETIC = (
    {},
    {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2",
     "OPENBLAS_CORETYPE": "Haswell", "NUMBA_CPU_NAME": "haswell"},
    {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
     "OPENBLAS_CORETYPE": "Nehalem", "NUMBA_CPU_NAME": "nehalem"},
)
_HEAD = """\
# Numbers of smoke runs that the arithmetic of another processor may change, and what nbval takes for the same.
# Written by `calcium-decoding book reference`, which measures it.
"""


def make(names=None, folder=None):
    """Remake references of some chapters, or of all, in ``tests/reference``: smoke profile, only the rounded card kept.
    Each chapter is executed with every arithmetic of :data:`ARITHMETIC`, all folds anew; its card is that of the first.
    Yields the path, what varies as :meth:`calcium_decoding.evaluation.cards.ResultCard.varying` has it, and how many
    scores the card prints."""
    folder = Path(folder) if folder else catalog.project_root() / "tests" / "reference"
    for chapter in names or CHAPTERS:
        made = []
        with tempfile.TemporaryDirectory() as scratch:
            for i, how in enumerate(ARITHMETIC):
                out = Path(scratch) / str(i)
                with mock.patch.dict(os.environ, how | {catalog.FOLDS_VARIABLE: str(out / "folds")}):
                    made.append(execute.run(chapter, "smoke", out=out))
            notebook = _reference(made[0]["notebook"])
            card, *others = (ResultCard.load(one["card"]) for one in made)
        varying = card.varying(others)
        path = folder / f"{chapter}.ipynb"
        write_text(path, nbformat.writes(notebook) + "\n")
        _note(folder / VARYING, chapter, varying)
        yield path, varying, len(card.compared())


def _reference(path):
    """The code cells alone: prose may change without a reference being made anew."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for index, cell in enumerate(notebook.cells):
        cell.id = f"cell-{index:02d}"
        if CARD_TAG in cell.metadata.get("tags", []):
            cell.execution_count = 1  # nbval compares only cells that were run
        else:
            cell.outputs, cell.execution_count = [], None
    return notebook


def _note(path, chapter, varying):
    """Put the numbers of a chapter into the file, in place of those it had there."""
    of_card = rf"(?s)({chapter} on .*\n"  # from the head of the chapter's card to the begin of one of its lines
    known = path.read_text(encoding="utf-8") if path.exists() else ""
    entries = [entry for entry in re.findall(r"^regex: .*\nreplace: .*\n", known, flags=re.M)
               if not entry.startswith(f"regex: {of_card}")]
    for score, printed in varying:
        line = " +".join(map(re.escape, (score.model, score.metric, score.scope)))
        number, instead = "[-0-9.]+", "any"
        if printed:
            number, instead = f"(?:{'|'.join(map(re.escape, printed))})(?![0-9])", f"{printed[0]} to {printed[-1]}"
        entries.append(f"regex: {of_card}{line} +){number}\nreplace: \\g<1>{instead}\n")
    write_text(path, _HEAD + "".join(sorted(entries)))
