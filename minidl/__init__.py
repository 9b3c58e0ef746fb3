"""minidl: multilayer perceptrons on CPUs, with weight initialization as a first-class subject.

import minidl as dl
net = dl.MLP([784, 256, 128, 10], activation="relu", init="auto", seed=0)
net.fit(X, y, optimizer=dl.SGD(lr=0.1, momentum=0.9), epochs=5, batch_size=128)
net.evaluate(X_test, y_test)
"""

from importlib import import_module as _import_module

try:
    from minidl import kernels
except ModuleNotFoundError as error:
    if error.name is None or not error.name.startswith("minidl.kernels."):
        raise
    raise ImportError(
        f"minidl is not compiled here ({error}). This is the source folder: run `pip install .` and start "
        "Python from another folder, or use `pip install -e .`."
    ) from None

from minidl import callbacks, errors, init, losses, schedules
from minidl.config import show_config
from minidl.kernels.threads import get_num_threads, set_num_threads
from minidl.layers import Activation, Dense
from minidl.model import MLP, Sequential
from minidl.optim import SGD
from minidl.saving import load
from minidl.version import __version__

__all__ = [
    "MLP",
    "SGD",
    "Activation",
    "Dense",
    "Sequential",
    "__version__",
    "callbacks",
    "datasets",
    "errors",
    "get_num_threads",
    "init",
    "kernels",
    "load",
    "losses",
    "schedules",
    "set_num_threads",
    "show_config",
]


def __getattr__(name: str):
    """Import rooms that training does not need when they are first used."""
    if name == "datasets":
        return _import_module("minidl.datasets")
    raise AttributeError(f"module 'minidl' has no attribute {name!r}")
