"""The command ``minidl``: train, bench, compare, reproduce, inits, theory, config.

A user's mistake is one line on stderr and exit code 2; Ctrl-C keeps the parameters of the last finished
step, prints the table and exits with 130.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from minidl.errors import DivergenceError, MinidlError, OptionError
from minidl.pictures import check_picture

INTERRUPTED = 130
BAD_INPUT = 2
DIVERGED = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    try:
        return options.run(options)
    except DivergenceError as error:
        return _complain(error, DIVERGED)
    except (MinidlError, OSError) as error:
        return _complain(error, BAD_INPUT)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        return 0


def _complain(error: Exception, code: int) -> int:
    print(f"minidl: error: {' '.join(str(error).split())}", file=sys.stderr)
    return code


class _Parser(argparse.ArgumentParser):
    """Words a wrong argument as any other mistake: one line."""

    def error(self, message: str):
        self.exit(BAD_INPUT, f"minidl: error: {message} (see {self.prog} --help)\n")


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = _Parser(prog="minidl", description="Multilayer perceptrons on CPUs.", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_train(commands)
    _add_bench(commands)
    _add_compare(commands)
    _add_reproduce(commands)
    _add_inits(commands)
    _add_theory(commands)
    config = commands.add_parser("config", help="print version, instruction set, threads, compiler")
    config.set_defaults(run=_config)
    return parser


def _add_train(commands) -> None:
    train = commands.add_parser(
        "train",
        help="train a network and print how it went",
        description="Train a multilayer perceptron on a data set or on your own table.",
        allow_abbrev=False,
    )
    add = train.add_argument
    add(
        "--data",
        default="spirals",
        metavar="spirals|shapeset|digits|mnist|FILE.csv|FILE.npz",
        help="data set or file (default: %(default)s)",
    )
    add("--data-dir", metavar="DIR", help="where the four MNIST files are")
    add(
        "--target",
        metavar="COLUMN",
        help="name or index of the target column of a CSV file (default: the last)",
    )
    add("--hidden", metavar="256,128", help="widths of the hidden layers (default: by data set)")
    add("--activation", default="relu", help="of the hidden layers (default: %(default)s)")
    add("--init", default="auto", help="initializer of the weights (default: %(default)s)")
    add("--lr", type=float, help="learning rate (default: by data set)")
    add("--momentum", type=float, default=0.9, help="0 for plain SGD (default: %(default)s)")
    add("--epochs", type=int, help="passes over the training data (default: by data set)")
    add("--batch-size", type=int, default=128, help="rows per step (default: %(default)s)")
    add("--threads", type=int, help="most threads (default: what pays on this machine)")
    add("--seed", type=int, default=0, help="of weights, data and order (default: %(default)s)")
    add("--dtype", default="float32", help="float32 or float64 (default: %(default)s)")
    add("--save", metavar="PATH", help="write the trained network to this file")
    train.set_defaults(run=_train)


def _add_bench(commands) -> None:
    bench = commands.add_parser(
        "bench",
        help="time a network on this machine, beside what the machine can do at most",
        description="Time a training step and predictions of a multilayer perceptron on this machine: "
        "microseconds, GFLOP/s of the matrix products, and their share of the FMA peak measured in the same "
        "run. Beside other libraries: benchmarks/peers.py in the source of minidl.",
        allow_abbrev=False,
    )
    add = bench.add_argument
    add("net", metavar="NET", help="widths such as 784-256-10; 784-30x100-10 has thirty hidden layers of 100")
    add("--batch", type=int, default=128, help="rows per training step (default: %(default)s)")
    add("--activation", default="relu", help="of the hidden layers (default: %(default)s)")
    add("--dtype", default="float32", help="float32 or float64 (default: %(default)s)")
    add("--threads", type=int, help="most threads (default: what pays on this machine)")
    add("--ops", action="store_true", help="time each op of the training step, too")
    add("--seconds", type=float, default=1.0, help="about how long for each line (default: %(default)s)")
    add("--json", metavar="FILE", help="also write the numbers to this file")
    bench.set_defaults(run=_bench)


def _add_theory(commands) -> None:
    theory = commands.add_parser(
        "theory",
        help="print the gains, critical points and depth scales of an activation",
        description="Mean-field theory of networks at initialization: gains, edge of chaos, depth scales.",
        allow_abbrev=False,
    )
    add = theory.add_argument
    add("activation", metavar="ACTIVATION", help="a name such as tanh or 'leaky_relu(0.2)'")
    add("--sigma-b", type=float, metavar="X", help="standard deviation of the biases")
    add("--sigma-w", type=float, metavar="X", help="sqrt(fan_in Var(W)) (default: on the edge of chaos)")
    add("--q", type=float, metavar="X", help="instead: variance of the pre-activations at the edge of chaos")
    add("--depth", type=int, default=50, metavar="N", help="layers of the verdict (default: %(default)s)")
    add("--plot", metavar="FILE.png", help="also draw the maps, the edge and the depth scales")
    theory.set_defaults(run=_theory)


def _theory(options) -> int:
    from minidl import theory

    _check_picture("--plot", options.plot)
    print(theory.report(options.activation, options.sigma_b, options.sigma_w, options.q, options.depth))
    if options.plot is not None:
        sigma_b, sigma_w = options.sigma_b, options.sigma_w
        if options.q is not None:
            point = theory.edge_of_chaos(options.activation, q=options.q)
            sigma_b, sigma_w = point.sigma_b, point.sigma_w
        theory.plot(options.plot, options.activation, sigma_b, sigma_w)
        print(f"written to {options.plot}")
    return 0


def _bench(options) -> int:
    import minidl
    from minidl import bench

    sizes = bench.parse_sizes(options.net)
    minidl.set_num_threads(options.threads)
    _check_folder("--json", options.json)
    record = bench.bench(
        sizes,
        options.activation,
        options.batch,
        options.dtype,
        seconds=options.seconds,
        ops=options.ops,
    )
    print(bench.report(record))
    if options.json is not None:
        bench.write_json(options.json, record)
        print(f"written to {options.json}")
    return 0


def _add_compare(commands) -> None:
    compare = commands.add_parser(
        "compare",
        help="train with several initializers and compare how fast they converge",
        description="Train networks of several depths with several initializers, each at a few learning "
        "rates from several seeds, and print the steps to a training loss at the best learning rate.",
        allow_abbrev=False,
    )
    add = compare.add_argument
    add("--data", default="digits", metavar="digits|mnist|shapeset|spirals", help="(default: %(default)s)")
    add(
        "--init",
        default="auto,he_normal,xavier_uniform,lecun_normal",
        metavar="he_normal,zeros",
        help="initializers, such as 'he(slope=0.2),orthogonal' (default: %(default)s)",
    )
    add(
        "--activation",
        default="relu",
        metavar="relu,tanh",
        help="of the hidden layers (default: %(default)s)",
    )
    add("--depth", default="3,10,30", metavar="3,10", help="hidden layers (default: %(default)s)")
    add("--lr", metavar="0.1,0.01", help="learning rates to choose from (default: by data set, as all below)")
    add("--seeds", type=int, help="trainings at each learning rate")
    add("--steps", type=int, help="of a training")
    add("--target", type=float, help="training loss to reach")
    add("--width", type=int, help="of the hidden layers")
    add("--batch-size", type=int, help="rows per step")
    add("--momentum", type=float, help="0 for plain SGD")
    add("--jobs", type=int, metavar="N", help="trainings at once, one thread each (default: what pays here)")
    add("--keep", metavar="FOLDER", help="keep finished cells there: an interrupted comparison goes on")
    add("--plot", metavar="FILE.png", help="draw loss curves and a map of the steps (needs matplotlib)")
    add("--json", metavar="FILE", help="also write the records to this file")
    compare.set_defaults(run=_compare)


def _compare(options) -> int:
    from minidl.compare import command

    _check_folder("--plot", options.plot)
    _check_folder("--json", options.json)
    command.main(options)
    return 0


def _add_reproduce(commands) -> None:
    reproduce = commands.add_parser(
        "reproduce",
        help="list the published tables that can be computed again, or compute one",
        description="Without a name: a list. With one: compute a paper's table and print the paper's number, "
        "the theory's and ours side by side.",
        allow_abbrev=False,
    )
    add = reproduce.add_argument
    add("name", nargs="?", metavar="NAME", help="such as glorot2010 (default: the list)")
    add("--profile", metavar="quick|full", help="sizes (default: quick)")
    add("--seeds", type=int, help="trainings of each configuration (default: by profile)")
    add("--threads", type=int, metavar="N", help="jobs at once, one thread each (default: what pays here)")
    add("--cache", metavar="FILE", help="keep finished jobs there: an interrupted run goes on")
    add("--plot", metavar="DIR|FILE.png", help="draw the paper's figures (needs matplotlib)")
    add("--json", metavar="FILE", help="also write the numbers to this file")
    reproduce.set_defaults(run=_reproduce)


def _reproduce(options) -> int:
    from minidl.reproduce import command

    if options.name is None:
        for option in ("profile", "seeds", "threads", "cache", "plot", "json"):
            if getattr(options, option) is not None:
                raise OptionError(
                    f"--{option} goes with a name, as in: minidl reproduce glorot2010 --{option} ..."
                )
    else:
        for option in ("cache", "json"):
            _check_folder(f"--{option}", getattr(options, option))
        if options.plot is not None and not Path(options.plot).is_dir():
            _check_folder("--plot", options.plot)
    command.main(options)
    return 0


def _add_inits(commands) -> None:
    inits = commands.add_parser(
        "inits",
        help="list the initializers, or print all that one of them knows",
        description="Without a name: a table of all schemes. With one: its formula, law, what it suits, "
        "where it fails, its paper, its arguments and a histogram of a draw.",
        allow_abbrev=False,
    )
    add = inits.add_argument
    add("name", nargs="?", metavar="NAME", help='such as he_normal or "he(slope=0.2)" (default: the table)')
    add("--shape", metavar="784x256", help="fan_in and fan_out of the draw (default: 784x256)")
    add("--activation", metavar="relu", help="of the layer of the draw, and judged (default: one that works)")
    add("--seed", type=int, default=0, help="of the draw (default: %(default)s)")
    add("--plot", metavar="FILE.png", help="write a picture of the draw and its law (needs matplotlib)")
    add("--json", action="store_true", help="print data instead of text")
    inits.set_defaults(run=_inits)


def _inits(options) -> int:
    import json

    from minidl import activations, init
    from minidl.init import catalogue, sample

    if options.name is None:
        for option in ("shape", "activation", "plot"):
            if getattr(options, option) is not None:
                raise OptionError(
                    f"--{option} goes with a name, as in: minidl inits he_normal --{option} ..."
                )
        print(json.dumps(catalogue.records(), indent=2) if options.json else catalogue.table())
        return 0
    x = init.get(options.name)
    shape = None if options.shape is None else _shape(options.shape)
    activation = None if options.activation is None else str(activations.get(options.activation))
    _check_picture("--plot", options.plot)
    choices = (x, shape, activation, options.seed)
    text = json.dumps(catalogue.record(*choices), indent=2) if options.json else catalogue.card(*choices)
    if options.plot is not None:
        sample.plot(sample.draw(*choices), options.plot)
    print(text)
    if options.plot is not None:
        print(f"written to {options.plot}", file=sys.stderr if options.json else sys.stdout)
    return 0


def _shape(text: str) -> tuple[int, int]:
    """Parse "784x256"."""
    try:
        fan_in, fan_out = (int(part) for part in text.lower().split("x"))
        if fan_in < 1 or fan_out < 1:
            raise ValueError
    except ValueError:
        raise OptionError(f"--shape {text!r}: expected fan_in x fan_out such as 784x256.") from None
    return fan_in, fan_out


def _check_folder(option: str, path: str | None) -> None:
    """Raise OptionError before the work if there is no place for its result."""
    if path is None:
        return
    if not Path(path).resolve().parent.is_dir():
        raise OptionError(f"{option} {path}: the folder does not exist.")
    if Path(path).is_dir():
        raise OptionError(f"{option} {path}: is a folder, expected a file.")


def _check_picture(option: str, path: str | None) -> None:
    """The same for a picture, which needs matplotlib and an ending that it knows."""
    _check_folder(option, path)
    if path is not None:
        check_picture(path)


def _config(options) -> int:
    from minidl.config import show_config

    show_config()
    return 0


# Hidden layers, epochs and learning rate that fit each data set in well under a minute.
DEFAULTS = {
    "spirals": ("64,64", 50, 0.1),
    "shapeset": ("256,128", 15, 0.01),
    "digits": ("64", 30, 0.1),
    "mnist": ("256,128", 10, 0.1),
}
TABLE_DEFAULTS = ("64", 50, 0.01)


def _train(options) -> int:
    import minidl
    from minidl.data import float_dtype

    dtype = float_dtype(options.dtype).name
    minidl.set_num_threads(options.threads)
    hidden_text, epochs, lr = DEFAULTS.get(options.data, TABLE_DEFAULTS)
    hidden = _widths(options.hidden if options.hidden is not None else hidden_text)
    epochs = options.epochs if options.epochs is not None else epochs
    lr = options.lr if options.lr is not None else lr
    optimizer = minidl.SGD(lr=lr, momentum=options.momentum)
    _check_folder("--save", options.save)

    started = time.perf_counter()
    train, test, n_classes = _load(options, dtype)
    n_outputs = n_classes or (train[1].shape[1] if train[1].ndim == 2 else 1)
    loss = "cross_entropy" if n_classes else "mse"
    sizes = [train[0].shape[1], *hidden, n_outputs]
    net = minidl.MLP(sizes, options.activation, init=options.init, seed=options.seed, dtype=dtype)
    print(
        f"{options.data}: {len(train[0])} rows to train on, {len(test[0])} to test, "
        f"{sizes[0]} features ({time.perf_counter() - started:.1f} s)\n"
        f"network {'-'.join(map(str, sizes))}, {options.activation}, "
        f"{net.params.count:,} parameters, {dtype}",
        flush=True,
    )
    code = 0
    started = time.perf_counter()
    try:
        with _stop_on_signal():
            net.fit(
                *train,
                loss=loss,
                optimizer=optimizer,
                epochs=epochs,
                batch_size=options.batch_size,
                validation_data=test,
                verbose=1,
            )
    except KeyboardInterrupt:
        code = INTERRUPTED
        print(f"interrupted after {net.training.steps} steps; parameters of the last finished step kept")
    seconds = time.perf_counter() - started
    if options.save is not None:
        net.save(options.save)
    _report(net, test, loss, options.batch_size, seconds)
    if options.save is not None:
        print(f"saved to {options.save}")
    return code


def _widths(text: str) -> list[int]:
    """Parse "256,128"; an empty text means no hidden layer."""
    try:
        widths = [int(part) for part in text.split(",") if part.strip()]
        if any(width < 1 for width in widths):
            raise ValueError
    except ValueError:
        raise OptionError(f"--hidden {text!r}: expected widths such as 256,128.") from None
    return widths


def _load(options, dtype: str):
    """Return (X, y) to train on, (X, y) to test on, and the number of classes (0 for regression)."""
    from minidl import datasets
    from minidl.data import split_validation
    from minidl.errors import unknown_name
    from minidl.init.streams import Stream
    from minidl.tables import load_table

    name = options.data
    suffix = Path(name).suffix.lower()
    if options.target is not None and suffix != ".csv":
        raise OptionError(f"--target {options.target}: only a CSV file has columns to choose from.")
    if options.data_dir is not None and name != "mnist":
        raise OptionError(f"--data-dir {options.data_dir}: only --data mnist reads a folder.")
    if name == "mnist":
        train, test = datasets.mnist(options.data_dir, dtype=dtype)
        return train, test, 10
    if name == "shapeset":
        X, y = datasets.shapeset(24000, options.seed, dtype, pixel_range=(-1.0, 1.0))
        return (X[:20000], y[:20000]), (X[20000:], y[20000:]), 9
    if name == "spirals":
        X, y = datasets.spirals(3000, seed=options.seed, dtype=dtype)
    elif name == "digits":
        X, y = datasets.digits(dtype=dtype)
    elif suffix in (".csv", ".npz"):
        table = load_table(name, target=options.target, dtype=dtype)
        X, y = table.X, table.y
        if table.kind == "regression":
            return *_split(X, y, Stream, split_validation, options.seed), 0
    else:
        raise unknown_name("--data", name, (*DEFAULTS, "FILE.csv", "FILE.npz"))
    return *_split(X, y, Stream, split_validation, options.seed), int(y.max()) + 1


def _split(X, y, stream, split_validation, seed: int):
    """Hold out a fifth of the rows for the test, chosen by the seed."""
    kept, held_out = split_validation(len(X), 0.2, stream(seed, "test split").permutation(len(X)))
    return (X[kept], y[kept]), (X[held_out], y[held_out])


class _stop_on_signal:  # noqa: N801 - reads as a statement
    """Turn SIGTERM into KeyboardInterrupt, so that a stopped job also keeps its parameters."""

    def __enter__(self):
        try:
            self.before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        except ValueError:  # not in the main thread
            self.before = None

    def __exit__(self, *_):
        if self.before is not None:
            signal.signal(signal.SIGTERM, self.before)


def _report(net, test, loss: str, batch_size: int, seconds: float) -> None:
    """Print the table at the end."""
    from minidl import kernels

    scores = net.evaluate(*test, loss=loss)
    steps = net.training.steps
    # the time of validation is not training time
    trained = sum(row["seconds"] for row in net.history.rows) or seconds
    finished = sum(row["steps"] for row in net.history.rows) or steps
    program = net.program
    rows = [("test loss", f"{scores['loss']:.4f}")]
    if "accuracy" in scores:
        rows.append(("test accuracy", f"{scores['accuracy']:.4f}"))
    rows += [
        ("seconds", f"{seconds:.2f}"),
        ("steps", f"{steps}"),
        ("steps per second", f"{finished / trained:.0f}" if trained else "-"),
        ("GFLOP/s", f"{finished * program.flops() / trained / 1e9:.1f}" if trained else "-"),
        ("threads", f"{program.n_threads or 1}"),
        ("ISA", kernels.isa()),
    ]
    print()
    for name, value in rows:
        print(f"{name:<17} {value}")
