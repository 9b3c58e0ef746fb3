"""minidl: multilayer perceptrons on CPUs, with weight initialization as a first-class subject.

    import minidl as dl
    net = dl.MLP([784, 256, 128, 10], activation="relu", init="auto", seed=0)
    net.fit(X, y, optimizer=dl.SGD(lr=0.1, momentum=0.9), epochs=5, batch_size=128)
    net.evaluate(X_test, y_test)

Importing the package loads NumPy and the kernels; the other rooms are loaded when one of their names is
first used.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING

try:
    from minidl import kernels
except ModuleNotFoundError as error:
    if error.name is None or not error.name.startswith("minidl.kernels."):
        raise
    raise ImportError(
        f"minidl is not compiled here ({error}). This is the source folder: run `pip install .` and "
        "start Python from another folder, or use `pip install -e .`."
    ) from None

from minidl.kernels.threads import get_num_threads, set_num_threads
from minidl.version import __version__

if TYPE_CHECKING:  # for editors and type checkers; the same names as in _HOME
    from minidl import activations, callbacks, datasets, errors, init, losses, schedules, theory
    from minidl.config import show_config
    from minidl.layers import Activation, Dense
    from minidl.mlp import MLP
    from minidl.model import Sequential
    from minidl.optim import SGD
    from minidl.saving import load

_ROOMS = ("activations", "callbacks", "datasets", "errors", "init", "losses", "schedules", "theory")
_HOME = {
    "MLP": "minidl.mlp",
    "SGD": "minidl.optim",
    "Activation": "minidl.layers",
    "Dense": "minidl.layers",
    "Sequential": "minidl.model",
    "load": "minidl.saving",
    "show_config": "minidl.config",
}

__all__ = [
    "MLP",
    "SGD",
    "Activation",
    "Dense",
    "Sequential",
    "__version__",
    "activations",
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
    "theory",
]


def __getattr__(name: str):
    """Load the room of a public name when it is first used."""
    if name in _ROOMS:
        value = _import_module(f"minidl.{name}")
    elif name in _HOME:
        value = getattr(_import_module(_HOME[name]), name)
    else:
        raise AttributeError(f"module 'minidl' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
