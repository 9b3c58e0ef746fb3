"""The roofs of the machine, from a process of their own, again and again over the run.

A roof is the best that was seen. The clock of a core and the neighbours of a virtual machine change within
seconds: a peak measured once at the start may be below what a kernel reaches later.
"""

from __future__ import annotations

import time

from base import Peer
from client import Client

# Bytes of the arrays of the triad together: they lie in the first, second, last cache of most CPUs, and
# beyond all caches.
TRIAD_BYTES = {"24 KB": 3 * 2**13, "384 KB": 3 * 2**17, "6 MB": 3 * 2**21, "384 MB": 3 * 2**27}
COPY_BYTES = 2**27
BANDWIDTH_EVERY_S = 10.0


class Roofs(Peer):
    """The other side of :class:`Watch`: measures in the worker."""

    title = "the roofs"
    settings = "minidl.kernels.machine"

    def __init__(self, n_threads: int):
        import minidl
        from minidl.kernels import machine

        self.machine, self.n_threads, self.version = machine, n_threads, minidl.__version__

    def peak(self, dtype: str) -> float:
        """Return the peak of multiply-adds in GFLOP/s."""
        return self.machine.fma_peak(dtype, self.n_threads, seconds=0.03)

    def bandwidth(self) -> dict:
        """Return the rates of copy, triad and handover in GB/s.

        The triad in a cache counts three streams; in memory, four, see ``machine.triad_bandwidth``.
        """
        triad = {}
        for name, size in TRIAD_BYTES.items():
            rate = self.machine.triad_bandwidth(size // 3, self.n_threads, seconds=0.05)
            triad[name] = rate if size == max(TRIAD_BYTES.values()) else 0.75 * rate
        copy = self.machine.copy_bandwidth(COPY_BYTES, self.n_threads, seconds=0.05)
        handover = self.machine.handover_bandwidth(n_threads=self.n_threads, seconds=0.02)
        return {"copy_gb_s": copy, "triad_gb_s": triad, "handover_gb_s": handover}


class Watch:
    """Asks for the roofs now and then, and keeps the best.

    Attributes
    ----------
    seen : dict
        "peak_gflops" by dtype, "copy_gb_s", "triad_gb_s" by size; and "handover_gb_s", a list of all that
        were seen: the cores of a virtual machine may lie near each other or far apart at different times.
    """

    def __init__(self, n_threads: int):
        self.client = Client("machine", "roofs", n_threads)
        self.seen = {"peak_gflops": {}, "copy_gb_s": 0.0, "triad_gb_s": {}, "handover_gb_s": []}
        self.next_bandwidth = 0.0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.quit()

    def look(self, dtype: str) -> None:
        """Measure the peak, and every few seconds the bandwidths too."""
        if self.client.absent:
            return
        rate = self.client.ask("peak", dtype=dtype)["gflops"]
        peaks = self.seen["peak_gflops"]
        peaks[dtype] = max(rate, peaks.get(dtype, 0.0))
        if time.monotonic() < self.next_bandwidth:
            return
        rates = self.client.ask("bandwidth")
        self.seen["copy_gb_s"] = max(rates["copy_gb_s"], self.seen["copy_gb_s"])
        for size, rate in rates["triad_gb_s"].items():
            self.seen["triad_gb_s"][size] = max(rate, self.seen["triad_gb_s"].get(size, 0.0))
        self.seen["handover_gb_s"].append(rates["handover_gb_s"])
        self.next_bandwidth = time.monotonic() + BANDWIDTH_EVERY_S
