"""A process with one library in it: JSON lines in, JSON lines out.

    python worker.py PEER THREADS

answers each line ``{"do": ...}`` on stdin with one line on stdout: "hello" (version), "setup" (net; the
losses of the checked steps), "calibrate" (milliseconds; steps per sample), "sample" (microseconds per
step), "sgemm" and "copy" (rates of the machine), "epoch" (one epoch of MNIST), "quit".
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
from frameworks import PEERS, UnsupportedError
from nets import NETS

WARM_UP_SHARE = 0.1  # of the steps of a sample: spinning threads of other libraries go to sleep
SGEMM_SIZE = 1024
COPY_BYTES = 256 * 2**20


class Worker:
    """Holds a peer and times it."""

    def __init__(self, peer: str, n_threads: int):
        self.peer = PEERS[peer](n_threads)
        self.mnist = None

    def hello(self, request: dict) -> dict:
        """Name the version of the library."""
        return {"version": self.peer.version, "settings": self.peer.settings}

    def setup(self, request: dict) -> dict:
        """Make a net and return the losses of its first steps."""
        self.peer.setup(NETS[request["net"]])
        losses = self.peer.losses()
        return {"losses": losses, "choice": self.peer.choice}

    def calibrate(self, request: dict) -> dict:
        """Find the number of steps that takes as long as a sample should."""
        target = request["ms"] / 1000
        self.peer.restart()
        steps = self.peer.advance(1)
        while True:
            # the shorter of two: one may have been preempted
            seconds, steps = min(self._clock(steps), self._clock(steps))
            if seconds >= target:
                break
            # aim a little beyond the target, but never trust a short measurement by more than 10x
            steps = max(steps + 1, int(steps * min(10, 1.1 * target / seconds)))
        self.steps = steps
        return {"steps": steps}

    def _clock(self, steps: int) -> tuple[float, int]:
        started = time.perf_counter()
        steps = self.peer.advance(steps)
        return time.perf_counter() - started, steps

    def sample(self, request: dict) -> dict:
        """Time one sample from the start weights."""
        self.peer.restart()
        self.peer.advance(max(1, int(self.steps * WARM_UP_SHARE)))
        gc.collect()
        gc.disable()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
        seconds, steps = self._clock(self.steps)
        gc.enable()
        switches = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw - before
        return {"us": 1e6 * seconds / steps, "preempted": switches}

    def sgemm(self, request: dict) -> dict:
        """Return the best rate of a square product of this library, in GFLOP/s."""
        rng = np.random.default_rng(3)
        a, b = rng.standard_normal((2, SGEMM_SIZE, SGEMM_SIZE)).astype(np.float32)
        out = np.empty_like(a)
        return {"gflops": 2e-9 * SGEMM_SIZE**3 / _best(lambda: self.peer.sgemm(a, b, out))}

    def copy(self, request: dict) -> dict:
        """Return the best rate of a copy in GB/s, bytes read and bytes written counted."""
        source = np.ones(COPY_BYTES // 8)
        target = np.empty_like(source)
        return {"gb_s": 2e-9 * COPY_BYTES / _best(lambda: np.copyto(target, source))}

    def epoch(self, request: dict) -> dict:
        """Train one epoch on the arrays of a file."""
        if self.mnist is None:
            with np.load(request["file"]) as arrays:
                self.mnist = [arrays[name] for name in ("x", "y", "xt", "yt")]
        return self.peer.epoch(*self.mnist)


def _best(action, times: int = 5) -> float:
    """Return the shortest of a few times in seconds, after one that does not count."""
    action()
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def main() -> None:
    """Answer requests until there are no more."""
    # whatever a library prints goes to stderr; the answers have the old stdout for themselves
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    try:
        worker = Worker(sys.argv[1], int(sys.argv[2]))
    except ImportError as error:
        print(json.dumps({"absent": str(error)}), file=answers)
        return
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "quit":
            return
        try:
            answer = getattr(worker, request["do"])(request)
        except UnsupportedError as error:
            answer = {"unsupported": str(error)}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    main()
