"""Kernels for one chapter after another: forks of a process that has imported the library, which takes seconds. On
Linux only; elsewhere a fork of a process with such packages in it is not safe, and kernels are started as ever."""

import atexit
import gc
import multiprocessing
import os
import pkgutil
import sys
import threading

from jupyter_client.provisioning import KernelProvisionerFactory, LocalProvisioner

import calcium_decoding
import decoding_book

_KERNEL = "ipykernel_launcher"
NAME = "calcium-decoding-forked"  # of the entry point in pyproject.toml


def use():
    """Let kernels that this process starts from here on be forked, where that is safe."""
    if sys.platform == "linux":
        os.environ[KernelProvisionerFactory.default_provisioner_name_env] = NAME
        # A kernel says this before it imports matplotlib; when it is forked that has been done.
        os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")


def _imported():
    """Names of what is imported before a fork: the kernel, and every module of the library."""
    ours = [module.name for package in (calcium_decoding, decoding_book)
            for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
    # Of PyTorch itself the part that its optimisers import at their first step.
    return ["ipykernel.kernelapp", "torch._dynamo", *ours]


class ForkedProvisioner(LocalProvisioner):
    """Starts an IPython kernel by forking; in all else a kernel of this machine like any other."""

    async def launch_kernel(self, cmd, **options):
        """Fork; ``cmd`` is the command that would start the kernel, of which only the arguments are used."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(_imported())
        folder = options.get("cwd") or os.getcwd()
        process = context.Process(target=_run, args=(cmd[cmd.index(_KERNEL) + 1:], dict(options["env"]), folder))
        process.start()
        self.process, self.pid, self.pgid, self.cwd = _Forked(process), process.pid, process.pid, folder
        return self.connection_info


class _Forked:
    """A forked process with the methods of ``subprocess.Popen`` that a provisioner calls."""

    stdin = stdout = stderr = None

    def __init__(self, process):
        self._process = process
        self.terminate, self.kill = process.terminate, process.kill

    def poll(self):
        return self._process.exitcode

    def wait(self):
        self._process.join()
        return self._process.exitcode

    def send_signal(self, signum):
        if self.poll() is None:
            os.kill(self._process.pid, signum)


def _run(arguments, environment, folder):
    """Be a kernel, in a process group of its own as kernels are."""
    from ipykernel.kernelapp import IPKernelApp

    gc.freeze()  # what is imported stays; to look through it again and again for garbage takes seconds
    os.setsid()
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    threading.Thread(target=_end_with, args=[multiprocessing.parent_process()], daemon=True).start()
    IPKernelApp.launch_instance([*arguments, f"--IPKernelApp.parent_handle={os.getppid()}"])
    atexit._run_exitfuncs()  # a process made by multiprocessing leaves them out


def _end_with(asker):
    """End this process with the one that asked for it, which is not its parent: that is the one it was forked from."""
    asker.join()
    os._exit(1)
