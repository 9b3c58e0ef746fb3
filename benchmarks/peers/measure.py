"""Time all cases with one number of threads: start the workers, check, calibrate, sample in turn."""

from __future__ import annotations

import random
import sys
import time

import report
from client import Client, usable_cpus
from roofs import Watch


def start_workers(subject: str, names: list[str], n_threads: int) -> tuple[dict[str, Client], dict[str, str]]:
    """Start one process per peer; return those that run, and why the others do not."""
    clients: dict[str, Client] = {}
    absent: dict[str, str] = {}
    try:
        for name in names:
            client = Client(subject, name, n_threads)
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


def check(client: Client, case) -> dict:
    """Set a case up in a worker and compare what it computes with the truth."""
    answer = client.ask("setup", case=case.request())
    if "unsupported" in answer:
        return {"why": "unsupported", "reason": answer["unsupported"]}
    error = case.deviation(answer)
    facts = {"choice": answer.get("choice", ""), "deviation": error}
    if not error <= case.tolerance:  # a NaN is no agreement either
        reason = f"its {case.checked} are off by {error:.1e} (relative); allowed is {case.tolerance:g}"
        return {"why": f"other {case.checked}", "reason": reason, **facts}
    return facts


def measure(clients: dict[str, Client], case, n_samples: int, ms: float, order) -> dict:
    """Check, calibrate and time one case with all peers, samples in turn and in random order."""
    peers = {name: check(client, case) for name, client in clients.items()}
    timed = [name for name in peers if "why" not in peers[name]]
    for name in timed:
        peers[name] |= {"units_per_sample": clients[name].ask("calibrate", ms=ms)["units"]}
        peers[name] |= {"samples_us": [], "preempted": 0}
    for _ in range(n_samples):
        for name in order.sample(timed, len(timed)):
            answer = clients[name].ask("sample")
            peers[name]["samples_us"].append(answer["us"])
            peers[name]["preempted"] += answer["preempted"]
    for name in timed:
        peers[name] |= report.summarize(peers[name]["samples_us"])
    return {
        "name": case.name,
        **case.request(),
        "dtype": case.dtype,
        "flops": case.flops,
        "bytes": case.bytes,
        "peers": peers,
    }


def run(options, cases: list, n_threads: int) -> dict:
    """Time all cases with so many threads."""
    clients, absent = start_workers(options.what, options.peers, n_threads)
    peers = {name: [c.title, c.version, c.settings] for name, c in clients.items()}
    record = {"what": options.what, "threads": n_threads, "cpus": usable_cpus()[:n_threads]}
    record |= {"peers": peers, "absent": absent, "cases": []}
    order = random.Random(0)
    try:
        with Watch(n_threads) as watch:
            for case in cases:
                started = time.perf_counter()
                watch.look(case.dtype)
                record["cases"].append(measure(clients, case, options.samples, options.ms, order))
                print(f"  {case.name}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
            watch.look(cases[-1].dtype)
            record["roofs"] = watch.seen
    finally:
        stop_workers(clients)
    return record
