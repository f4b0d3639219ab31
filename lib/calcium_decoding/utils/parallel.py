"""Where jobs run: in processes of this machine, one thread each, or on the workers of a Dask cluster."""

import asyncio
import tempfile
import threading
import warnings
from concurrent.futures import CancelledError, ThreadPoolExecutor
from functools import cache
from pathlib import Path

import joblib

from calcium_decoding.errors import CalciumDecodingError, ParameterError
from calcium_decoding.utils.progress import StepFile, steps_shown

SCHEDULER_VARIABLE = "CALCIUM_DECODING_SCHEDULER"
TIMEOUT_S = 10

_one_at_a_time = threading.Lock()


class ClusterError(CalciumDecodingError, RuntimeError):
    """A cluster that cannot be used, or was lost."""


def in_processes(function, calls, jobs=None):
    """Call a function in processes of one thread each, and yield what it returns, in the order of finishing.

    ``calls``: arguments of each call. ``jobs``: processes; all processors if left out; with one, in this process.
    """
    if not calls:
        return
    jobs = min(jobs or joblib.cpu_count(), len(calls))
    with warnings.catch_warnings():
        # joblib replaces a worker that has grown by hundreds of megabytes, as one does on large folds; no fold is lost.
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given", category=UserWarning)
        yield from joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")(
            joblib.delayed(function)(*call) for call in calls)


def on_cluster(function, calls, pieces, address, identity):
    """Call a function on the workers of a Dask cluster, and yield what it returns, in the order of finishing.

    ``function``: ``function(argument, pieces)``, of a module that the workers have. ``calls`` (sequence of (object,
    dict of str to str)): for each call the argument, and the names under which the function gets pieces. ``pieces``
    (dict of str to ndarray): large arrays, each sent once. ``address``: of the scheduler. ``identity``: says as a dict
    of str what results depend on; a worker must answer as this process does. Raises ParameterError: no scheduler
    answers, or Dask is not installed; ClusterError: no workers, other versions there, or the cluster was lost.
    """
    if not calls:
        return
    try:
        from distributed import Client, KilledWorker, as_completed
    except ModuleNotFoundError as error:
        raise ParameterError("scheduler", f"{address}, but no package {error.name} here", "the packages of a cluster",
                             "pip install 'calcium-decoding[cluster]', or run without a scheduler") from None
    _refuse_silent(address)
    client = Client(address, timeout=TIMEOUT_S, set_as_default=False)
    try:
        _check_workers(client, address, identity)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sending large graph", category=UserWarning)
            # As results of tasks, not scattered: the scheduler makes them again when a worker that held them dies.
            sent = {name: client.submit(_same, array, pure=False) for name, array in pieces.items()}
            here = identity()
            futures = [client.submit(_on_worker, function, argument, {k: sent[v] for k, v in needs.items()}, identity,
                                     here, pure=False) for argument, needs in calls]
        with client.as_current():
            finished = as_completed(futures, with_results=True)
        for future, result in finished:
            future.release()
            yield result
    except KilledWorker as error:
        raise ClusterError(f"cluster {address}", f"a fold whose worker died again and again ({error.args[0]})",
                           "workers that live through a fold", "give workers more memory; finished folds are kept"
                           ) from error
    except (CancelledError, OSError) as error:
        raise ClusterError(f"cluster {address}", f"the connection was lost ({type(error).__name__}: {error})",
                           "a scheduler that stays", "start it again, then run again: finished folds are kept"
                           ) from error
    finally:
        client.close()  # what it had asked for and nobody else needs is dropped


def _refuse_silent(address):
    """Refuse an address where no scheduler answers: a client that never connected can deadlock the next one, since it
    waits, collected as garbage, for a lock that the start of the next one holds (seen with dask.distributed 2026.8)."""
    from distributed.comm import connect
    from distributed.security import Security

    async def greet():
        await (await connect(address, timeout=TIMEOUT_S, **Security().get_connection_args("client"))).close()

    try:
        with ThreadPoolExecutor(1) as thread:  # a notebook's own thread has an event loop already
            thread.submit(asyncio.run, greet()).result()
    except (OSError, ValueError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ParameterError("scheduler", f"'{address}', which does not answer ({first})",
                             "the address of a running Dask scheduler, such as tcp://10.0.0.5:8786",
                             "start one (dask scheduler), mend the address, or run without it") from None


def _check_workers(client, address, identity):
    try:
        client.wait_for_workers(1, timeout=TIMEOUT_S)
    except TimeoutError:
        raise ClusterError(f"cluster {address}", f"no worker within {TIMEOUT_S} s", "one worker or more",
                           f"start some: dask worker {address} --nthreads 1") from None
    here = identity()
    for worker, there in client.run(identity, on_error="return").items():
        if isinstance(there, OSError):
            continue  # it has just died; what it was to do goes to another one
        if isinstance(there, Exception):
            raise ClusterError(f"worker {worker}", f"{type(there).__name__}: {there}", "a worker with this library",
                               "install the same version of calcium-decoding there")
        _refuse_other(f"worker {worker}", here, there)


def _refuse_other(where, here, there):
    other = {name: (there.get(name), value) for name, value in here.items() if there.get(name) != value}
    if other:
        raise ClusterError(where, ", ".join(f"{name} {theirs}" for name, (theirs, _) in other.items()),
                           ", ".join(f"{name} {ours}" for name, (_, ours) in other.items()) + ", as here",
                           "install the same versions there: results would differ")


def _same(array):
    return array


def _on_worker(function, argument, pieces, identity, expected):
    _refuse_other("this worker", expected, _once(identity))  # it may have come after the check
    with _one_at_a_time:  # PyTorch's seeds and settings belong to the process
        return function(argument, pieces)


@cache
def _once(function):
    return function()


def run(calls, save, jobs, bar):
    """Run tasks in processes; store what each finds, and yield its key and outcome, in the order of finishing.

    ``calls`` (sequence of (str, object, Path or None)): a key; a task with ``run(checkpoint, report)``; the file of its
    outcome, if stored, beside which lies the checkpoint of an interrupted task. ``save``: ``save(outcome, path)``.
    """
    with tempfile.TemporaryDirectory() as steps, steps_shown(bar, steps, "epochs"):
        told = [(*call, save, StepFile(Path(steps) / call[0])) for call in calls]
        yield from in_processes(_run_and_save, told, jobs)


def _run_and_save(key, task, path, save, report):
    checkpoint = None if path is None else path.with_suffix(".checkpoint.safetensors")
    try:
        outcome = task.run(checkpoint, report)
    finally:
        report.remove()
    if path is not None:
        save(outcome, path)
    return key, outcome
