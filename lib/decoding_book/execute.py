"""From percent notebooks to pages: convert, execute with parameters."""

import os
import re
import sys
import tempfile
from pathlib import Path
from unittest import mock

import yaml

from calcium_decoding.data import catalog, download
from calcium_decoding.errors import CalciumDecodingError, ParameterError
from calcium_decoding.evaluation import cards
from calcium_decoding.utils.files import write_text
from calcium_decoding.utils.parallel import SCHEDULER_VARIABLE
from calcium_decoding.utils.progress import BATCH_VARIABLE
from decoding_book.parameters import schema_of, validate

PROFILES = ("smoke", "demo", "paper")
STORED = "stored"  # the training that a page shows first; of some chapters only
INJECTED_TAG = "injected-parameters"
# glibc hands large blocks back to the kernel after each use; keeping them makes training up to 1.3 times faster.
MALLOC = {"MALLOC_TRIM_THRESHOLD_": "100000000000", "MALLOC_MMAP_MAX_": "0", "MALLOC_TOP_PAD_": "268435456"}


class ChapterError(CalciumDecodingError, RuntimeError):
    """A chapter stopped with an error, or the book could not be rendered; the text is that of the first cause."""

    def __init__(self, text):
        Exception.__init__(self, text)

    __str__ = RuntimeError.__str__


def source_path(chapter):
    """The percent notebook of a chapter; ParameterError if there is none."""
    schema_of(chapter)
    return catalog.project_root() / "book" / f"{chapter}.py"


def profile_parameters(chapter, profile):
    """Parameters that a profile sets, in ``book/params/<chapter>.<profile>.yaml``."""
    path = catalog.project_root() / "book" / "params" / f"{chapter}.{profile}.yaml"
    known = [*PROFILES, STORED] if path.with_name(f"{chapter}.{STORED}.yaml").exists() else PROFILES
    if profile not in known:
        raise ParameterError("profile", repr(profile), f"one of {', '.join(known)}", "name one of these")
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {}


def notebook_of(chapter):
    """The chapter as a notebook without outputs, with its kernel set."""
    import jupytext

    notebook = jupytext.read(source_path(chapter))
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return notebook


def defaults(chapter):
    """Parameters and values in the chapter's own ``parameters`` cell."""
    cell = next(c for c in notebook_of(chapter).cells if "parameters" in c.metadata.get("tags", []))
    values = {}
    exec(compile(cell.source, str(source_path(chapter)), "exec"), {}, values)
    return values


def run(chapter, profile="demo", dataset=None, overrides=None, out="_build/runs", data_dir=None, scheduler=None):
    """Execute one chapter; returns the paths of its ``notebook``, ``html`` and ``card`` in the folder ``out``.
    ``scheduler``: address of a Dask scheduler whose workers train the folds; empty: processes here; left out: what
    ``CALCIUM_DECODING_SCHEDULER`` says. ParameterError, before anything runs: unknown chapter, profile or parameter, or
    a value out of range. ChapterError: a cell failed; nothing is left in ``out``."""
    parameters = merged_parameters(chapter, profile, dataset, overrides, data_dir)
    import nbformat
    from nbconvert import HTMLExporter

    from calcium_decoding.simulation import ensure  # seconds, which looking up a parameter need not take

    if ensure(parameters["dataset"]) is None:
        download.require(catalog.load_manifest().entry(parameters["dataset"]), parameters["data_dir"])
    paths = {kind: Path(out).resolve() / f"{chapter}.{ending}" for kind, ending in
             (("notebook", "ipynb"), ("html", "html"), ("card", "card.json"))}
    own = defaults(chapter)
    changed = {name: value for name, value in parameters.items() if value != own[name]}
    with tempfile.TemporaryDirectory() as scratch:
        kernels = {BATCH_VARIABLE: "1"} | ({} if scheduler is None else {SCHEDULER_VARIABLE: scheduler})
        with mock.patch.dict(os.environ, kernels):
            executed = _execute(notebook_of(chapter), changed | {"out_dir": scratch}, Path(scratch))
        _tidy(executed)
        card = cards.ResultCard.load(Path(scratch) / paths["card"].name)
        write_text(paths["notebook"], nbformat.writes(executed) + "\n")
        write_text(paths["html"], HTMLExporter(template_name="lab").from_notebook_node(executed)[0])
        card.save(paths["card"])
    return paths


def store(chapter, data_dir=None, scheduler=None):
    """Make the stored training of a chapter anew, as its profile ``stored`` says: the path of its card in
    ``book/stored``. Finished folds are kept: what was interrupted goes on."""
    paths = run(chapter, STORED, data_dir=data_dir, scheduler=scheduler, out=catalog.project_root() / "_build" / STORED)
    path = cards.stored_folder() / paths["card"].name
    cards.ResultCard.load(paths["card"]).save(path)
    return path


def merged_parameters(chapter, profile, dataset=None, overrides=None, data_dir=None):
    """All parameters of a run, checked: the chapter's defaults, the profile's, then what the user typed."""
    named = {} if dataset is None else {"dataset": dataset}
    named |= {} if data_dir is None else {"data_dir": str(Path(data_dir).resolve())}
    merged = defaults(chapter) | profile_parameters(chapter, profile) | (overrides or {}) | named
    merged = validate(chapter, merged).model_dump()
    entry = catalog.load_manifest().entry(merged["dataset"])
    if entry.kind in ("weights", "hub"):
        raise ParameterError("dataset", f"'{entry.name}', which holds pretrained weights", "a data set of recordings",
                             "see calcium-decoding data list")
    return merged


def _execute(notebook, parameters, scratch):
    import nbformat
    import papermill

    source, target = scratch / "source.ipynb", scratch / "executed.ipynb"
    nbformat.write(notebook, source)
    os.environ.update({k: v for k, v in MALLOC.items() if k not in os.environ})
    if os.environ.get(catalog.DATA_VARIABLE):  # the kernel works in another folder: a relative path would mislead
        os.environ[catalog.DATA_VARIABLE] = str(catalog.data_dir().resolve())
    if (lab := catalog.lab_manifest()) is not None:
        os.environ[catalog.LAB_VARIABLE] = str(lab)
    try:
        # papermill passes on what the kernel writes to standard error: the progress bars of the chapter. The kernel's
        # own log helps nobody here; what fails in a cell comes as an exception all the same.
        papermill.execute_notebook(source, target, parameters, kernel_name="python3", progress_bar=False,
                                   stderr_file=sys.stderr, cwd=catalog.project_root(),
                                   extra_arguments=["--IPKernelApp.log_level=CRITICAL"])
    except papermill.PapermillExecutionError as error:
        raise ChapterError(f"code cell {error.exec_count} stopped with {error.ename}: {error.evalue}") from None
    return nbformat.read(target, as_version=4)


def _tidy(notebook):
    """Take out of a page what belongs to one run: progress bars, papermill's record, folders of this machine."""
    for cell in notebook.cells:
        cell.metadata = {k: v for k, v in cell.metadata.items() if k == "tags" and v}
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not _is_progress(output)]
        if INJECTED_TAG in cell.metadata.get("tags", []):
            cell.source = re.sub(r"^(data_dir|out_dir) = .*\n?", "", cell.source, flags=re.M).rstrip()
            cell.source = cell.source.replace("# Parameters", "# Set for this run")
    notebook.cells = [cell for cell in notebook.cells if cell.source != "# Set for this run"]
    notebook.metadata.pop("papermill", None)


def _is_progress(output):
    text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", output.get("text", ""))  # a bar within a bar moves the cursor
    return output.get("name") == "stderr" and (not text.strip() or re.search(r"\d+%\|", text) is not None)
