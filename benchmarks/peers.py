"""minidl beside PyTorch, JAX, scikit-learn and NumPy, on the same training steps.

    python benchmarks/peers.py --quick
    python benchmarks/peers.py --threads 1,2 --json results.json
    python benchmarks/peers.py --epoch DIRECTORY_OF_MNIST

README.md in this folder says what is measured and how to read it.
"""

from __future__ import annotations

import argparse
import difflib
import os
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).with_name("peers")))

import numpy as np
import report
from client import Client, WorkerFailedError, usable_cpus
from frameworks import PEERS
from nets import CHECKED_STEPS, NETS, QUICK, TOLERANCE, Net, true_losses

EPOCH_PEERS = ("minidl", "torch")


# --- one number of threads ------------------------------------------------------------------------


def start_workers(names: list[str], n_threads: int) -> tuple[dict[str, Client], dict[str, str]]:
    """Start one process per peer; return those that run, and why the others do not."""
    clients: dict[str, Client] = {}
    absent: dict[str, str] = {}
    try:
        for name in names:
            client = Client(name, n_threads)
            if client.absent:
                absent[name] = client.absent
                client.quit()
            else:
                clients[name] = client
    except BaseException:
        stop_workers(clients)
        raise
    return clients, absent


def stop_workers(clients: dict[str, Client]) -> None:
    """End all processes."""
    for client in clients.values():
        client.quit()


def machine_rates(clients: dict[str, Client], run: dict) -> None:
    """Keep the best square product in float32, and the best copy, that the workers have reached."""
    for name in ("numpy", "minidl"):
        if name in clients:
            rate = clients[name].ask("sgemm")["gflops"]
            run["best_sgemm_gflops"] = max(run["best_sgemm_gflops"] or 0.0, rate)
            rate = clients[name].ask("copy")["gb_s"]
            run["copy_gb_s"] = max(run["copy_gb_s"] or 0.0, rate)


def check(client: Client, net: Net, expected: list[float]) -> dict:
    """Set a net up in a worker and compare its first losses with the true ones."""
    answer = client.ask("setup", net=net.name)
    if "unsupported" in answer:
        return {"why": "unsupported", "reason": answer["unsupported"]}
    error = np.abs(np.array(answer["losses"]) / expected - 1).max()
    facts = {"choice": answer["choice"], "loss_error": float(error)}
    if not error <= TOLERANCE:  # a NaN is no agreement either
        reason = f"its losses are off by {error:.1e} (relative); allowed is {TOLERANCE:g}"
        return {"why": "other losses", "reason": reason, **facts}
    return facts


def measure(clients: dict[str, Client], net: Net, n_samples: int, ms: float, order) -> dict:
    """Check, calibrate and time one net with all peers, samples in turn and in random order."""
    expected = true_losses(net)
    peers = {name: check(client, net, expected) for name, client in clients.items()}
    timed = [name for name in peers if "why" not in peers[name]]
    for name in timed:
        peers[name] |= {"steps_per_sample": clients[name].ask("calibrate", ms=ms)["steps"]}
        peers[name] |= {"samples_us": [], "preempted": 0}
    for _ in range(n_samples):
        for name in order.sample(timed, len(timed)):
            answer = clients[name].ask("sample")
            peers[name]["samples_us"].append(answer["us"])
            peers[name]["preempted"] += answer["preempted"]
    for name in timed:
        peers[name] |= report.summarize(peers[name]["samples_us"])
    return {
        "name": net.name,
        "batch": net.batch,
        "activation": net.activation,
        "flops": net.flops,
        "losses": expected,
        "peers": peers,
    }


def run_steps(options, n_threads: int) -> dict:
    """Time all nets with so many threads."""
    clients, absent = start_workers(options.peers, n_threads)
    run = {"threads": n_threads, "cpus": usable_cpus()[:n_threads], "absent": absent, "nets": []}
    run |= {"best_sgemm_gflops": None, "copy_gb_s": None}
    order = random.Random(0)
    try:
        run["peers"] = {name: [client.version, client.settings] for name, client in clients.items()}
        for name in options.nets:
            started = time.perf_counter()
            machine_rates(clients, run)  # again and again: a roof is the best that was seen
            run["nets"].append(measure(clients, NETS[name], options.samples, options.ms, order))
            print(f"  {name}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
    finally:
        stop_workers(clients)
    return run


def print_steps(run: dict, names: list[str]) -> None:
    """Print the tables of one run."""
    print(f"\n{run['threads']} thread(s), CPUs {run['cpus']}: microseconds per step, median")
    print(report.table(run, names))
    sgemm, copy = run["best_sgemm_gflops"], run["copy_gb_s"]
    if sgemm:
        print(
            f"\nbest sgemm: {sgemm:.1f} GFLOP/s (fastest 1024 x 1024 x 1024 product of NumPy and minidl; "
            f"not the peak of the CPU)\ncopy: {copy:.1f} GB/s (256 MiB, bytes read + bytes written)"
        )
    for name, (version, settings) in run["peers"].items():
        print(f"{PEERS[name].title} {version}: {settings}")
    for name, why in run["absent"].items():
        print(f"{PEERS[name].title} is absent: {why}")
    for net in run["nets"]:
        for name, peer in net["peers"].items():
            if "why" in peer:
                print(f"{PEERS[name].title} left out of {net['name']}: {peer['reason']}")
    print(f"\n{report.spread(run)}")


# --- one epoch of MNIST ---------------------------------------------------------------------------


def run_epochs(options, n_threads: int, file: str) -> dict:
    """Time one epoch with minidl and PyTorch, in turn."""
    names = [name for name in options.peers if name in EPOCH_PEERS]
    clients, absent = start_workers(names, n_threads)
    order = random.Random(0)
    results: dict[str, list[dict]] = {name: [] for name in clients}
    try:
        for sample in range(options.samples + 1):
            for name in order.sample(list(clients), len(clients)):
                answer = clients[name].ask("epoch", file=file)
                if sample > 0:  # the first one warms up
                    results[name].append(answer)
        versions = {name: client.version for name, client in clients.items()}
    finally:
        stop_workers(clients)
    return {"threads": n_threads, "versions": versions, "absent": absent, "epochs": results}


def print_epochs(run: dict) -> None:
    """Print seconds, loss and accuracy of an epoch."""
    print(f"\n{run['threads']} thread(s): one epoch of MNIST, 784-256-128-10, batch 128")
    rows = [["", "seconds", "p10", "p90", "training loss", "test accuracy"]]
    for name, epochs in run["epochs"].items():
        p10, median, p90 = np.percentile([epoch["seconds"] for epoch in epochs], (10, 50, 90))
        means = [np.mean([epoch[key] for epoch in epochs]) for key in ("loss", "accuracy")]
        numbers = [f"{x:.3f}" for x in (median, p10, p90)] + [f"{x:.4f}" for x in means]
        rows.append([PEERS[name].title, *numbers])
    print(report.aligned(rows))
    for name, why in run["absent"].items():
        print(f"{PEERS[name].title} is absent: {why}")


def save_mnist(folder: str, file: str) -> None:
    """Write MNIST as arrays that every worker can read without minidl."""
    from minidl import datasets, errors

    try:
        (x, y), (xt, yt) = datasets.mnist(folder)
    except errors.DataError as error:
        make_parser().error(f"argument --epoch: {error}")
    np.savez(file, x=x, y=y.astype(np.int64), xt=xt, yt=yt.astype(np.int64))


# --- command line ---------------------------------------------------------------------------------


def names_of(table, what: str):
    """Return a parser of comma-separated names from a table."""

    def parse(text: str) -> list[str]:
        names = [name for name in text.split(",") if name]
        if not names:
            raise argparse.ArgumentTypeError(f"expected names of {what}s. Known: {', '.join(table)}.")
        for name in names:
            if name not in table:
                close = difflib.get_close_matches(name.lower(), list(table), n=1, cutoff=0.5)
                hint = f" Did you mean {close[0]!r}?" if close else ""
                known = ", ".join(table)
                raise argparse.ArgumentTypeError(f"{what} {name!r} is unknown.{hint} Known: {known}.")
        return list(dict.fromkeys(names))

    return parse


def thread_counts(text: str) -> list[int]:
    """Parse numbers of threads; each needs a CPU of its own."""
    available = len(usable_cpus())
    numbers = [int(part) if part.isdecimal() else 0 for part in text.split(",")]
    if not all(1 <= n <= available for n in numbers):
        raise argparse.ArgumentTypeError(
            f"{text!r}: expected numbers such as 1,2 from 1 to {available}, the CPUs of this process."
        )
    return list(dict.fromkeys(numbers))


def positive(text: str) -> int:
    """Parse an integer >= 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected an integer >= 1.")
    return int(text)


def result_file(text: str) -> Path:
    """Parse a path whose folder exists."""
    path = Path(text)
    if not path.parent.is_dir() or path.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r}: expected a file in a folder that exists.")
    return path


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        description="Time the training step of minidl beside other libraries: forward, softmax "
        "cross-entropy, backward, SGD with momentum, float32. Peers whose losses differ are left out.",
        epilog=f"nets: {', '.join(NETS)}\npeers: {', '.join(PEERS)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--threads", type=thread_counts, default=[1], metavar="1,2", help="runs, one after another (1)")
    add("--nets", type=names_of(NETS, "net"), metavar="NAME,..", help="default: all")
    add("--peers", type=names_of(PEERS, "peer"), default=list(PEERS), metavar="NAME,..",
        help="default: all that are installed")  # fmt: skip
    add("--samples", type=positive, metavar="N", help="per peer and net (15; quick 5; epochs 5)")
    add("--ms", type=positive, metavar="N", help="least duration of a sample (100; quick 20)")
    add("--quick", action="store_true", help="three nets, short samples: does it run?")
    add("--epoch", metavar="MNIST_DIR", help="instead, time one epoch of MNIST: minidl and PyTorch")
    add("--json", type=result_file, metavar="PATH", help="write everything, each sample too")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the comparison; return 1 if minidl itself is missing or disagrees with the true losses."""
    options = make_parser().parse_args(arguments)
    options.nets = options.nets or list(QUICK if options.quick else NETS)
    options.samples = options.samples or (5 if options.quick or options.epoch else 15)
    options.ms = options.ms or (20 if options.quick else 100)
    record = {"machine": report.machine(), "load_before": os.getloadavg(), "runs": []}
    record |= {"checked_steps": CHECKED_STEPS, "tolerance": TOLERANCE, "ms": options.ms}
    steal = report.steal_ticks()
    print(f"{record['machine']['cpu']}, before: {report.load_line(record['load_before'], 0)}", flush=True)

    code = 0
    try:
        with tempfile.TemporaryDirectory() as folder:
            file = str(Path(folder) / "mnist.npz")
            if options.epoch:
                save_mnist(options.epoch, file)
            for n_threads in options.threads:
                if options.epoch:
                    run = run_epochs(options, n_threads, file)
                    print_epochs(run)
                else:
                    run = run_steps(options, n_threads)
                    print_steps(run, options.peers)
                    ours = [net["peers"].get("minidl", {}) for net in run["nets"]]
                    if "minidl" in options.peers and not all("median_us" in row for row in ours):
                        code = 1
                record["runs"].append(run)
    except (WorkerFailedError, ImportError) as error:
        print(f"peers.py: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    record["load_after"] = os.getloadavg()
    if steal is not None:
        record["steal_ticks"] = report.steal_ticks() - steal
    after = report.load_line(record["load_after"], max(options.threads))
    print(f"\nafter: {after}; steal: {record.get('steal_ticks', 'unknown')} ticks")
    if options.json:
        report.write_json(options.json, record)
        print(f"written to {options.json}")
    return code


if __name__ == "__main__":
    sys.exit(main())
