"""The command line of peers.py: what may be asked, and one clear line for what may not."""

from __future__ import annotations

import argparse
import difflib
import importlib.util
from pathlib import Path

import cases
import epoch
from client import usable_cpus
from nets import NETS
from table import PEERS

SUBJECTS = ("train", "predict", "matmul")
DTYPES = ("float32", "float64")
# least milliseconds of a sample: usual, quick
MILLISECONDS = {"train": (100, 20), "predict": (40, 10), "matmul": (20, 5)}


class Parser(argparse.ArgumentParser):
    """Words a wrong option in one line."""

    def error(self, message: str):
        self.exit(2, f"peers.py: error: {message} (see peers.py --help)\n")


def unknown(what: str, name: str, known) -> str:
    """Word the error for a name that is not in a table."""
    close = difflib.get_close_matches(name.lower(), list(known), n=1, cutoff=0.5)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"{what} {name!r} is unknown.{hint} Known: {', '.join(known)}."


def split(text: str) -> list[str]:
    """Parse comma-separated words, each once."""
    words = list(dict.fromkeys(word for word in text.split(",") if word))
    if not words:
        raise argparse.ArgumentTypeError(f"{text!r}: expected names, separated by commas.")
    return words


def net_names(text: str) -> list[str]:
    """Parse names of nets."""
    for name in split(text):
        if name not in NETS:
            raise argparse.ArgumentTypeError(unknown("net", name, NETS))
    return split(text)


def positive(text: str) -> int:
    """Parse an integer >= 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected an integer >= 1.")
    return int(text)


def numbers(text: str) -> list[int]:
    """Parse integers >= 1."""
    return [positive(word) for word in split(text)]


def shapes(text: str) -> list[tuple[int, int, int]]:
    """Parse shapes m x k x n."""
    found = []
    for word in split(text):
        parts = word.split("x")
        if len(parts) != 3:
            raise argparse.ArgumentTypeError(f"{word!r}: expected m x k x n such as 128x784x256.")
        found.append(tuple(positive(part) for part in parts))
    return found


def thread_counts(text: str) -> list[int]:
    """Parse numbers of threads; each needs a CPU of its own."""
    available = len(usable_cpus())
    counts = [int(part) if part.isdecimal() else 0 for part in text.split(",")]
    if not all(1 <= n <= available for n in counts):
        raise argparse.ArgumentTypeError(
            f"{text!r}: expected numbers such as 1,2 from 1 to {available}, the CPUs of this process."
        )
    return list(dict.fromkeys(counts))


def result_file(text: str) -> Path:
    """Parse a path whose folder exists."""
    path = Path(text)
    if not path.parent.is_dir() or path.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r}: expected a file in a folder that exists.")
    return path


def picture_file(text: str) -> Path:
    """Parse a path for a picture; matplotlib must be there to draw it."""
    if importlib.util.find_spec("matplotlib") is None:
        raise argparse.ArgumentTypeError("needs matplotlib: pip install matplotlib")
    path = result_file(text)
    if path.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a name that ends in .png, .svg or .pdf.")
    return path


def make_parser() -> Parser:
    """Return the parser of the command line."""
    peers = "\n".join(f"peers of {what}: {', '.join(PEERS[what])}" for what in SUBJECTS)
    parser = Parser(
        prog="peers.py",
        description="Time minidl beside other libraries on the same work, after checking that all of them "
        "compute the same. Peers that are not installed are named as absent.",
        epilog=f"nets: {', '.join(NETS)}\n{peers}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--what", choices=SUBJECTS, help="a training step (default), a prediction, or a matrix product")
    add("--threads", type=thread_counts, default=[1], metavar="1,2", help="runs, one after another (1)")
    add("--nets", type=net_names, metavar="NAME,..", help="default: all; for matmul, products of these alone")
    add("--peers", type=split, metavar="NAME,..", help="default: all that are installed")
    add("--rows", type=numbers, metavar="1,32", help="predict: rows per call (1,32,1024)")
    add("--shapes", type=shapes, metavar="MxKxN,..", help="matmul: these products alone")
    add("--dtype", choices=DTYPES, help="matmul: float32 (default) or float64")
    add("--samples", type=positive, metavar="N", help="per peer and case (15; quick and epochs 5)")
    add("--ms", type=positive, metavar="N",
        help="least duration of a sample (train 100, predict 40, matmul 20; quick 20, 10, 5)")  # fmt: skip
    add("--quick", action="store_true", help="three nets, short samples: does it run?")
    add("--epoch", metavar="MNIST_DIR", help="instead, time one epoch of MNIST: minidl and PyTorch")
    add("--json", type=result_file, metavar="PATH", help="write everything, each sample too")
    add("--roofline", type=picture_file, metavar="PNG", help="draw a roofline picture")
    return parser


def parse(arguments: list[str] | None):
    """Return the options, completed and checked against each other."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    if options.epoch:
        for name in ("what", "nets", "roofline", "ms"):
            if getattr(options, name):
                parser.error(f"argument --epoch: --{name} does not go with it.")
    options.what = options.what or "train"
    only = {"rows": "predict", "shapes": "matmul", "dtype": "matmul"}
    for name, subject in only.items():
        if getattr(options, name) and options.what != subject:
            parser.error(f"argument --{name}: only for --what {subject}.")
    if options.shapes and options.nets:
        parser.error("argument --shapes: give shapes or nets, not both.")
    known = epoch.PEERS if options.epoch else PEERS[options.what]
    options.peers = options.peers or list(known)
    for name in options.peers:
        if name not in known:
            parser.error(f"argument --peers: {unknown('peer', name, known)}")
    options.dtype = options.dtype or "float32"
    options.samples = options.samples or (5 if options.quick or options.epoch else 15)
    options.ms = options.ms or MILLISECONDS[options.what][options.quick]
    options.cases = cases.cases(options)
    options.parser = parser
    return options
