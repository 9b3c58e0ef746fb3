"""One epoch of MNIST with minidl and PyTorch, from start weights to test accuracy."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import numpy as np
from measure import start_workers, stop_workers
from report import aligned

PEERS = ("minidl", "torch")


def load(folder: str) -> dict[str, np.ndarray]:
    """Return MNIST from its four files.

    Raises
    ------
    minidl.errors.DataError
        If the files are not there, or damaged.
    """
    from minidl import datasets

    (x, y), (xt, yt) = datasets.mnist(folder)
    return {"x": x, "y": y.astype(np.int64), "xt": xt, "yt": yt.astype(np.int64)}


def run(options, arrays: dict[str, np.ndarray], n_threads: int) -> dict:
    """Time one epoch with each peer, in turn."""
    clients, absent = start_workers("train", [name for name in options.peers if name in PEERS], n_threads)
    order = random.Random(0)
    results: dict[str, list[dict]] = {name: [] for name in clients}
    try:
        with tempfile.TemporaryDirectory() as folder:
            file = str(Path(folder) / "mnist.npz")  # every worker can read it without minidl
            np.savez(file, **arrays)
            for sample in range(options.samples + 1):
                for name in order.sample(list(clients), len(clients)):
                    answer = clients[name].ask("epoch", file=file)
                    if sample > 0:  # the first one warms up
                        results[name].append(answer)
        peers = {name: [c.title, c.version, c.settings] for name, c in clients.items()}
    finally:
        stop_workers(clients)
    return {"what": "epoch", "threads": n_threads, "peers": peers, "absent": absent, "epochs": results}


def print_run(run: dict) -> None:
    """Print seconds, loss and accuracy of an epoch."""
    print(f"\n{run['threads']} thread(s): one epoch of MNIST, 784-256-128-10, batch 128")
    rows = [["", "seconds", "p10", "p90", "training loss", "test accuracy"]]
    for name, epochs in run["epochs"].items():
        p10, median, p90 = np.percentile([epoch["seconds"] for epoch in epochs], (10, 50, 90))
        means = [np.mean([epoch[key] for epoch in epochs]) for key in ("loss", "accuracy")]
        numbers = [f"{x:.3f}" for x in (median, p10, p90)] + [f"{x:.4f}" for x in means]
        rows.append([run["peers"][name][0], *numbers])
    print(aligned(rows))
    for name, why in run["absent"].items():
        print(f"{name} is absent: {why}")
