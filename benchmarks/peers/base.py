"""What all peers share: the interface that a worker times, and the three kinds of work behind it.

A peer has ``setup(case)``, which prepares a case and returns what is checked; ``restart()``, back to the
start weights; and ``advance(n)``, which does about n units of work and returns how many. A unit is a
training step, a call of predict, or a matrix product.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from nets import NETS, true_outputs
from products import Product


class UnsupportedError(Exception):
    """A library cannot express this case."""


class Peer:
    """Base class of all peers.

    Attributes
    ----------
    title, settings : str
        Name for the tables, and how the library is used.
    version : str
    choice : str
        What setup() found to be fastest for this case, where there is a choice.
    """

    title = ""
    settings = ""
    version = ""
    choice = ""

    def setup(self, case: dict) -> dict:
        """Prepare a case and return what is to be checked."""
        raise NotImplementedError

    def restart(self) -> None:
        """Go back to the start; only training moves away from it."""

    def advance(self, n: int) -> int:
        """Do about n units of work and return how many."""
        raise NotImplementedError

    def clock(self, n: int) -> tuple[float, int]:
        """Do about n units of work; return the seconds and how many."""
        started = time.perf_counter()
        n = self.advance(n)
        return time.perf_counter() - started, n


class TrainPeer(Peer):
    """Trains a net: batches of its data, and a loop over steps."""

    def setup(self, case):
        self.net = NETS[case["net"]]
        self.start = self.net.start()
        self.next = 0
        self.batches = self.load(*self.net.data)
        self.build()
        self.restart()
        return {"losses": self.losses(), "choice": self.choice}

    def build(self) -> None:
        """Make the network."""
        raise NotImplementedError

    def load(self, x: np.ndarray, y: np.ndarray) -> list:
        """Cut the data into batches, in the form that the library takes."""
        b = self.net.batch
        return [(x[i : i + b], y[i : i + b]) for i in range(0, len(x), b)]

    def advance(self, n):
        for _ in range(n):
            self.step(*self.batches[self.next])
            self.next = (self.next + 1) % len(self.batches)
        return n

    def some_steps(self) -> int:
        """Make a few steps, to choose among the ways of a library."""
        return self.advance(20 if self.net.flops < 1e8 else 2)

    def losses(self) -> list[float]:
        """Return the losses of the checked steps, from the start."""
        return [float(self.step(*batch)) for batch in self.load(*self.net.checked_data)]

    def step(self, x, y):
        """Make one update and return the loss before it."""
        raise NotImplementedError


class PredictPeer(Peer):
    """Predicts rows with a net: NumPy array in, NumPy array out, as a user calls it."""

    def setup(self, case):
        self.net = NETS[case["net"]]
        self.x = self.net.rows(case["rows"])
        layers = self.net.start(bias=0.1)
        self.call = self.prepare(layers)
        truth = true_outputs(self.net, self.x, layers)
        return {"deviation": deviation(self.call(self.x), truth), "choice": self.choice}

    def prepare(self, layers: list[tuple[np.ndarray, np.ndarray]]) -> Callable[[np.ndarray], np.ndarray]:
        """Make the network and return the call that predicts."""
        raise NotImplementedError

    def some_calls(self) -> int:
        """Make a few calls, to choose among the ways of a library."""
        return self.advance(100 if self.net.predict_flops(len(self.x)) < 1e7 else 2)

    def advance(self, n):
        call, x = self.call, self.x
        for _ in range(n):
            call(x)
        return n


class MatmulPeer(Peer):
    """Multiplies two matrices into a third: the same operands again and again."""

    def setup(self, case):
        product = Product(**case)
        a, b, out = product.operands()
        self.call = self.prepare(a, b, out)
        self.call()
        return {"deviation": deviation(out, a.astype(np.float64) @ b.astype(np.float64))}

    def prepare(self, a: np.ndarray, b: np.ndarray, out: np.ndarray) -> Callable[[], object]:
        """Return the call that computes out = a @ b; a or b may be a transpose."""
        raise NotImplementedError

    def advance(self, n):
        call = self.call
        for _ in range(n):
            call()
        return n


def deviation(got: np.ndarray, truth: np.ndarray) -> float:
    """Return the largest error, relative to the largest number that is expected."""
    if got.shape != truth.shape:
        return float("inf")
    return float(np.abs(got - truth).max() / np.abs(truth).max())


def best_seconds(action: Callable[[], object], times: int = 5) -> float:
    """Return the shortest of a few times, after one that warms up."""
    action()
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def blas() -> str:
    """Return the BLAS that NumPy has loaded, with the kernel that it picked for this CPU."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return "BLAS kernel unknown: threadpoolctl is not installed"
    found = [lib for lib in threadpool_info() if lib["user_api"] == "blas"]
    return ", ".join(
        f"{lib['internal_api']} {lib['version']} {lib.get('architecture', '')}, threads: {lib['num_threads']}"
        for lib in found
    )
