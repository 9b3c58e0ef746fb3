"""A process with one library in it: JSON lines in, JSON lines out.

    python worker.py SUBJECT PEER THREADS

answers each line ``{"do": ...}`` on stdin with one line on stdout: "hello" (version), "setup" (a case; what
is checked), "calibrate" (milliseconds; units per sample), "sample" (microseconds per unit), "epoch" (one
epoch of MNIST), "peak" and "bandwidth" (of the machine), "quit".
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import time
import warnings

import numpy as np
from base import UnsupportedError
from table import peer_class

WARM_UP_SHARE = 0.1  # of the units of a sample
ASLEEP_S = 0.005  # a process that uses less than a fifth of a core for so long has gone to sleep
PATIENCE_S = 1.0  # for that


class Worker:
    """Holds a peer and times it."""

    def __init__(self, subject: str, peer: str, n_threads: int):
        self.peer = peer_class(subject, peer)(n_threads)
        self.mnist = None

    def hello(self, request: dict) -> dict:
        """Name the version of the library."""
        return {"title": self.peer.title, "version": self.peer.version, "settings": self.peer.settings}

    def setup(self, request: dict) -> dict:
        """Prepare a case and return what is checked."""
        return self.peer.setup(request["case"])

    def calibrate(self, request: dict) -> dict:
        """Find the number of units that takes as long as a sample should."""
        target = request["ms"] / 1000
        self.peer.restart()
        units = self.peer.advance(1)
        while True:
            # the shorter of two: one may have been preempted
            seconds, units = min(self.peer.clock(units), self.peer.clock(units))
            if seconds >= target:
                break
            # aim a little beyond the target, but never trust a short measurement by more than 10x
            units = max(units + 1, int(units * min(10, 1.1 * target / seconds)))
        self.units = units
        return {"units": units}

    def sample(self, request: dict) -> dict:
        """Time one sample from the start."""
        self.peer.restart()
        self.peer.advance(max(1, int(self.units * WARM_UP_SHARE)))
        gc.collect()
        gc.disable()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
        seconds, units = self.peer.clock(self.units)
        gc.enable()
        switches = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw - before
        return {"us": 1e6 * seconds / units, "preempted": switches}

    def epoch(self, request: dict) -> dict:
        """Train one epoch on the arrays of a file."""
        if self.mnist is None:
            with np.load(request["file"]) as arrays:
                self.mnist = [arrays[name] for name in ("x", "y", "xt", "yt")]
        return self.peer.epoch(*self.mnist)

    def peak(self, request: dict) -> dict:
        """Measure the peak of multiply-adds."""
        return {"gflops": self.peer.peak(request["dtype"])}

    def bandwidth(self, request: dict) -> dict:
        """Measure the rates of copy and triad."""
        return self.peer.bandwidth()


def settle() -> None:
    """Wait until the threads of the library sleep, so that the next peer has the CPUs for itself.

    Threads that wait for more work spin: those of OpenBLAS for 50 ms, of ONNX Runtime 35, of OpenMP 5.
    """
    until = time.perf_counter() + PATIENCE_S
    while time.perf_counter() < until:
        before = time.process_time()
        time.sleep(ASLEEP_S)
        if time.process_time() - before < ASLEEP_S / 5:
            return


def main() -> None:
    """Answer requests until there are no more."""
    # whatever a library prints goes to stderr; the answers have the old stdout for themselves
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    try:
        worker = Worker(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    except ImportError as error:
        print(json.dumps({"absent": str(error)}), file=answers)
        return
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "quit":
            return
        try:
            answer = getattr(worker, request["do"])(request)
            settle()
        except UnsupportedError as error:
            answer = {"unsupported": str(error)}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    main()
