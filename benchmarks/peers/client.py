"""The other end of a worker: starts the process, asks it, and stops it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
from pathlib import Path

PATIENCE_S = 900  # for one answer: compiling and calibrating the largest net with the slowest peer


def usable_cpus() -> list[int]:
    """Return the CPUs that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


# Variables that make the OpenBLAS of NumPy work for another CPU than this one.
MISLEADING = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


def environment(n_threads: int) -> dict[str, str]:
    """Return the variables that hold every library to so many threads of the CPU."""
    n = str(n_threads)
    inherited = {name: value for name, value in os.environ.items() if name not in MISLEADING}
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NPROC")  # NPROC: XLA
    several = "false" if n_threads == 1 else "true"
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen={several}"
    return {
        **inherited,
        **dict.fromkeys(names, n),
        "XLA_FLAGS": f"{flags} intra_op_parallelism_threads={n}".strip(),
        "JAX_PLATFORMS": "cpu",
        "CUDA_VISIBLE_DEVICES": "",
    }


class WorkerFailedError(Exception):
    """A worker died, kept silent, or reported an exception."""


class Client:
    """One worker process, bound to as many CPUs as it has threads.

    Attributes
    ----------
    name : str
        Of the peer.
    absent : str or None
        Why the library is not there.
    title, version, settings : str
    """

    def __init__(self, subject: str, name: str, n_threads: int):
        self.name = name
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in quit()
        cpus = usable_cpus()[:n_threads]

        def bind():
            if hasattr(os, "sched_setaffinity"):
                os.sched_setaffinity(0, cpus)

        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("worker.py")), subject, name, str(n_threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            bufsize=1,
            env=environment(n_threads),
            preexec_fn=bind,
        )
        try:
            hello = self.ask("hello")
        except BaseException:
            self.quit()
            raise
        self.absent = hello.get("absent")
        self.title = hello.get("title", name)
        self.version, self.settings = hello.get("version", ""), hello.get("settings", "")

    def ask(self, do: str, **details) -> dict:
        """Send a request and wait for the answer.

        Raises
        ------
        WorkerFailedError
            With the end of what the worker wrote on stderr.
        """
        with contextlib.suppress(BrokenPipeError):  # an absent library has answered already
            print(json.dumps({"do": do, **details}), file=self.process.stdin)
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE_S)
        line = self.process.stdout.readline() if ready else ""
        if not line:
            why = "died" if ready else f"gave no answer in {PATIENCE_S} s"
            raise WorkerFailedError(f"{self.name} {why} at {do!r}. {self._last_words()}")
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerFailedError(f"{self.name} failed at {do!r}: {answer['error']}")
        return answer

    def _last_words(self) -> str:
        self.log.seek(0)
        return " | ".join(self.log.read().splitlines()[-3:])

    def quit(self) -> None:
        """Stop the process."""
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        self.log.close()
