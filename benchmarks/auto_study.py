"""Does `auto` choose well? Every plausible scheme against it, on MNIST, by activation and depth.

    python benchmarks/auto_study.py run --data DIRECTORY_OF_MNIST --out study.jsonl
    python benchmarks/auto_study.py table study.jsonl

A cell is an activation, a depth and a scheme: networks 784-128-...-128-10 with 3 to 50 hidden layers,
trained on the first 10,000 training images (pixels standardized) by SGD with momentum 0.9, batches of 128,
for at most 600 steps. What counts is the number of steps until 90 % of the first 2,000 training images are
right, looked at every 5 steps, at the best of five learning rates. Steps, not seconds: the result does not
depend on the machine or on what else it does. Three kinds of training end early: one that diverges, one
that has learnt nothing at all after half the steps, and one that is already slower than another learning
rate of its cell. A run that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import numpy as np

import minidl
from minidl import datasets, init
from minidl.errors import DivergenceError

DEPTHS = (3, 10, 30, 50)
LEARNING_RATES = (0.03, 0.01, 0.1, 0.003, 0.3)  # the most promising first
WIDTH, BATCH, STEPS, GOAL = 128, 128, 600, 0.9
EVERY, LOOK = 5, 2000  # steps between two looks at the accuracy, and on how many rows
CLOSE = 0.8  # mean loss of the last batches above which 90 % accuracy is out of the question
NOTHING = 2.29  # mean loss above which nothing was learnt: log 10 = 2.303

#: What people use whatever the activation is.
COMMON = (
    "Xavier()",
    "Xavier('normal')",
    "He()",
    "LeCun()",
    "TorchDefault()",
    "Orthogonal()",
    "LSUV()",
    "EdgeOfChaos(centered=True, q0=1.0)",
)
#: Not tried with 30 layers and more: the one is slow or stalls with 10 already, the other is like Xavier().
SHALLOW_ONLY = ("TorchDefault()", "Xavier('normal')")
DEEP = 30
#: What was made for an activation, or computed for it.
EDGE = ("Gain()", "EdgeOfChaos(q0=1.0)", "EdgeOfChaos(base='orthogonal', q0=1.0)")
RECTIFIER = ("Gain()", "Orthogonal(gain='{}')", "EdgeOfChaos()", "Critical(q0=1.0)", "Mirrored()")
OWN = {
    "relu": ("He('uniform')", "He(mode='fan_out')", "Orthogonal(gain='relu')", "Mirrored()"),
    "leaky_relu": ("He(slope=0.01)", "Orthogonal(gain='leaky_relu')", "Mirrored(slope=0.01)"),
    "elu": (*EDGE, "Orthogonal(gain='elu')"),
    "selu": (*EDGE, "Orthogonal(gain='selu')"),
    "gelu": RECTIFIER,
    "silu": RECTIFIER,
    "mish": RECTIFIER[:-1],
    "softplus": ("Gain()", "EdgeOfChaos(centered=True, base='orthogonal', q0=1.0)", "Mirrored()"),
    "sigmoid": ("Gain()", "Xavier(gain=4.0)", "Orthogonal(gain=4.0)", "Centered(Xavier(gain=4.0))"),
    "tanh": (*EDGE, "Xavier(gain=5/3)", "EdgeOfChaos(sigma_b=0.05, q0=1.0)", "TanhInit()"),
    "softsign": (*EDGE, "EdgeOfChaos(sigma_b=0.05, q0=1.0)"),
    "sine": (*EDGE, "Siren()"),
}


def load(folder: str) -> tuple[np.ndarray, np.ndarray]:
    """Return 10,000 standardized images and their labels."""
    (X, y), _ = datasets.mnist(folder)
    X, y = X[:10_000], y[:10_000]
    return (X - X.mean()) / X.std(), y


_data: tuple[np.ndarray, np.ndarray]


def _start(folder: str) -> None:
    global _data
    _data = load(folder)


def train(activation: str, depth: int, scheme: str, lr: float, seed: int, limit: int) -> int | None:
    """Train one network; return the number of steps it took, None if it did not arrive within the limit."""
    X, y = _data
    net = minidl.MLP([784, *[WIDTH] * depth, 10], activation, init=make(scheme), seed=seed)
    optimizer = minidl.SGD(lr=lr, momentum=0.9)
    losses: list[float] = []
    order = np.empty(0, np.int64)
    try:
        if net.init.needs_data:
            net.init.fit(net, X[:1024], y[:1024])
        for step in range(1, limit + 1):
            if len(order) < BATCH:
                order = init.Stream(seed, "study", step).permutation(len(X))
            batch, order = order[:BATCH], order[BATCH:]
            losses.append(net.train_step(X[batch], y[batch], optimizer=optimizer, n_threads=1))
            if step == STEPS // 2 and np.mean(losses[-50:]) > NOTHING:
                return None
            if step % EVERY == 0 and np.mean(losses[-EVERY:]) < CLOSE:
                outputs = net.predict(X[:LOOK], n_threads=1)
                if np.mean(outputs.argmax(axis=1) == y[:LOOK]) >= GOAL:
                    return step
    except DivergenceError:
        pass
    return None


def cell(activation: str, depth: int, scheme: str, seed: int) -> dict:
    """Train at each learning rate; return the record of a cell, with steps None if none arrives."""
    found: dict[float, int] = {}
    for lr in LEARNING_RATES:
        steps = train(activation, depth, scheme, lr, seed, min(found.values(), default=STEPS))
        if steps is not None:
            found[lr] = steps
    lr = min(found, key=found.get, default=None)
    row = {"activation": activation, "depth": depth, "scheme": scheme, "seed": seed}
    return row | {"steps": found.get(lr), "lr": lr}


def make(scheme: str) -> init.Initializer:
    """Return the initializer of an expression such as "He(slope=0.1)", or of a name."""
    if "(" not in scheme:
        return init.get(scheme)
    return eval(scheme, {"__builtins__": {}}, vars(init))  # the expressions stand above


def key(row: dict) -> tuple:
    return tuple(row[name] for name in ("activation", "depth", "scheme", "seed"))


def read(path: str) -> list[dict]:
    """Return the rows of a file; a last line that was cut is dropped."""
    rows = []
    if Path(path).exists():
        for line in Path(path).read_text().splitlines():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                continue
    return rows


def stalls(rows: list[dict], activation: str, depth: int, scheme: str) -> bool:
    """Whether the scheme is known to stall in a network that is less deep: it is not tried again then."""
    place = activation, scheme
    return any(
        (row["activation"], row["scheme"]) == place and row["depth"] < depth and row["steps"] is None
        for row in rows
    )


def best(rows: list[dict], activation: str, depth: int) -> str:
    """Return the scheme that needed the fewest steps with seed 0, besides auto."""
    here = [row for row in rows if (row["activation"], row["depth"], row["seed"]) == (activation, depth, 0)]
    return min((row["steps"] or np.inf, row["scheme"]) for row in here if row["scheme"] != "auto")[1]


def run(options) -> None:
    """Train what is not in the file yet."""
    tasks, rows = [], read(options.out)
    for seed in options.seeds:
        for depth in options.depths:
            for activation in options.activations:
                schemes = options.schemes or (*COMMON, *OWN[activation], "auto")
                if schemes == ("best",):
                    schemes = ("auto", best(rows, activation, depth))
                if depth >= DEEP:
                    schemes = [scheme for scheme in schemes if scheme not in SHALLOW_ONLY]
                names = [scheme.replace("{}", activation) for scheme in schemes]
                schemes = [name for name in names if not stalls(rows, activation, depth, name)]
                tasks += [(activation, depth, scheme, seed) for scheme in schemes]
    known = {key(row) for row in rows}
    tasks = [task for task in tasks if task not in known]
    for scheme in {task[2] for task in tasks}:
        make(scheme)  # a mistake shows at once
    print(f"{len(tasks)} cells, {len(known)} known", flush=True)
    with (
        ProcessPoolExecutor(options.jobs, initializer=_start, initargs=(options.data,)) as pool,
        open(options.out, "a", encoding="utf-8") as out,
    ):
        for done, future in enumerate(as_completed([pool.submit(cell, *task) for task in tasks]), start=1):
            out.write(json.dumps(future.result()) + "\n")
            out.flush()
            if done % 20 == 0:
                print(f"{done} / {len(tasks)}", flush=True)


def table(options) -> None:
    """Print, per activation and depth, the steps of auto, those of the best scheme, and the ratio.

    With several seeds: their median, a training that did not arrive counting as infinite. The best scheme
    is the one of seed 0, so that it is compared on seeds that did not choose it, too.
    """
    runs: dict[tuple, list[float]] = {}
    rows = read(options.out)
    for row in rows:
        place = row["activation"], row["depth"], row["scheme"]
        runs.setdefault(place, []).append(row["steps"] or np.inf)
    steps = {place: float(np.median(values)) for place, values in runs.items()}
    print("| activation | hidden layers | auto | best scheme | its steps | ratio | stalled of |")
    print("|---|---|---|---|---|---|---|")
    for activation, depth in sorted({place[:2] for place in steps}):
        others = {s: n for (a, d, s), n in steps.items() if (a, d) == (activation, depth) and s != "auto"}
        auto = steps.get((activation, depth, "auto"), np.nan)
        winner = best(rows, activation, depth)
        stalled = sum(n == np.inf for n in others.values())
        numbers = f"{auto:.0f} | `{winner}` | {others[winner]:.0f} | {auto / others[winner]:.2f}"
        print(f"| {activation} | {depth} | {numbers} | {stalled} of {len(others)} |".replace("inf", "never"))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    names = lambda text: tuple(text.split(","))  # noqa: E731
    numbers = lambda text: tuple(map(int, text.split(",")))  # noqa: E731
    work = commands.add_parser("run")
    work.add_argument("--data", required=True, help="folder of the four MNIST files")
    work.add_argument("--out", required=True, help="file of results, one JSON record a line")
    work.add_argument("--jobs", type=int, default=2, help="processes, of one thread each (%(default)s)")
    work.add_argument("--activations", type=names, default=tuple(OWN))
    work.add_argument("--depths", type=numbers, default=DEPTHS)
    work.add_argument(
        "--schemes",
        type=lambda text: tuple(text.split(";")),
        help="separated by ;, or best: the best one of seed 0, and auto",
    )
    work.add_argument("--seeds", type=numbers, default=(0,))
    work.set_defaults(run=run)
    show = commands.add_parser("table")
    show.add_argument("out", help="file of results")
    show.set_defaults(run=table)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
