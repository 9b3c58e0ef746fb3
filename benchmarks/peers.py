"""minidl beside NumPy, PyTorch, JAX, scikit-learn and ONNX Runtime, on the same work.

    python benchmarks/peers.py --quick
    python benchmarks/peers.py --what train --threads 1,2 --json results.json
    python benchmarks/peers.py --what predict
    python benchmarks/peers.py --what matmul --dtype float64 --roofline roofline.png
    python benchmarks/peers.py --epoch DIRECTORY_OF_MNIST

README.md in this folder says what is measured and how to read it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).with_name("peers")))

import epoch
import measure
import options as command_line
import report
from client import WorkerFailedError


def one_run(options, arrays, n_threads: int) -> dict:
    """Measure and print everything for one number of threads."""
    if options.epoch:
        run = epoch.run(options, arrays, n_threads)
        epoch.print_run(run)
    else:
        run = measure.run(options, options.cases, n_threads)
        report.print_run(run)
    sys.stdout.flush()
    return run


def agrees(options, run: dict) -> bool:
    """Return False if minidl was asked for and is missing, or computes something else."""
    if "minidl" not in options.peers:
        return True
    if options.epoch:
        return "minidl" in run["epochs"]
    return all("median_us" in case["peers"].get("minidl", {}) for case in run["cases"])


def main(arguments: list[str] | None = None) -> int:
    """Run the comparison; return the exit code, which README.md explains."""
    options = command_line.parse(arguments)
    arrays = None
    if options.epoch:
        from minidl.errors import DataError

        try:
            arrays = epoch.load(options.epoch)
        except DataError as error:
            options.parser.error(f"argument --epoch: {error}")
    record = {"machine": report.machine(), "load_before": os.getloadavg(), "ms": options.ms, "runs": []}
    steal = report.steal_ticks()
    print(f"{record['machine']['cpu']}, before: {report.load_line(record['load_before'], 0)}", flush=True)
    try:
        for n_threads in options.threads:
            record["runs"].append(one_run(options, arrays, n_threads))
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
    if options.roofline:
        import roofline

        roofline.draw(record, options.roofline)
        print(f"drawn to {options.roofline}")
    return 0 if all(agrees(options, run) for run in record["runs"]) else 1


if __name__ == "__main__":
    sys.exit(main())
