"""Trainings in processes of one thread each; each says how far it is, goes on where it stopped, and is stored."""

import tempfile
from pathlib import Path

from calcium_decoding import executors
from calcium_decoding.progress import StepFile, steps_shown


def run(calls, save, jobs, bar):
    """Run tasks in processes, and store what each finds as soon as it is done.

    Parameters
    ----------
    calls : sequence of (str, object, Path or None)
        A key, which no other call has; a task with ``run(checkpoint, report)``; the file of its outcome, if it is to
        be stored. The checkpoint, of which an interrupted task goes on, lies beside that file.
    save : callable
        ``save(outcome, path)``, of a module.
    jobs : int, optional
        Processes; all processors if left out.
    bar : tqdm
        Shows the epochs of what is running.

    Yields
    ------
    key : str
    outcome : object
        In the order of finishing.
    """
    with tempfile.TemporaryDirectory() as steps, steps_shown(bar, steps, "epochs"):
        told = [(*call, save, StepFile(Path(steps) / call[0])) for call in calls]
        yield from executors.in_processes(_run_and_save, told, jobs)


def _run_and_save(key, task, path, save, report):
    checkpoint = None if path is None else path.with_suffix(".checkpoint.safetensors")
    try:
        outcome = task.run(checkpoint, report)
    finally:
        report.remove()
    if path is not None:
        save(outcome, path)
    return key, outcome
