"""Before the first step: import, size, first weights, first prediction."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import minidl
from minidl import init

from .common import choose

# A process each, so nothing is imported twice.
FIRST_PREDICTION = """
import minidl, numpy
minidl.MLP([784, 256, 128, 10], seed=0).predict(numpy.zeros((1, 784), numpy.float32))
"""
COUNT_MODULES = """
import sys, numpy
before = set(sys.modules)
import minidl
print(len(set(sys.modules) - before))
"""


class Import:
    """Seconds of a fresh Python process: NumPy alone, with minidl, to a first prediction."""

    timeout = 120
    version = "1"

    def timeraw_numpy(self):
        return "import numpy"

    def timeraw_minidl(self):
        return "import minidl"

    def timeraw_first_prediction(self):
        return FIRST_PREDICTION

    def track_modules(self):
        # -I: not from the source folder, if that is where we are
        command = [sys.executable, "-I", "-c", COUNT_MODULES]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return int(done.stdout)

    track_modules.unit = "modules besides NumPy's"


class Size:
    """Bytes of the installed package, and of the wheel that it would make."""

    timeout = 120
    version = "1"

    def setup(self):
        self.folder = Path(minidl.__file__).parent
        ours = (path for path in sorted(self.folder.rglob("*")) if path.is_file())
        # what a source folder has besides, a wheel does not
        self.files = [path for path in ours if path.suffix not in (".pyc", ".pyx", ".c", ".html", ".part")]

    def track_installed(self):
        return sum(path.stat().st_size for path in self.files)

    def track_wheel(self):
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as wheel:
            for path in self.files:
                wheel.write(path, path.relative_to(self.folder.parent))
        return len(archive.getvalue())

    track_installed.unit = track_wheel.unit = "bytes"


SCHEMES = choose(
    ("he_normal", "orthogonal"),
    ("auto", "he_normal", "xavier_uniform", "orthogonal", "torch_default"),
    ("auto", "he_normal", "he_truncated_normal", "xavier_uniform", "orthogonal", "torch_default", "sparse"),
)


class Weights:
    """Seconds to make 784-256-128-10: nearly all of it is drawing the first weights."""

    params = (SCHEMES,)
    param_names = ("scheme",)
    version = "1"

    def setup(self, scheme):
        if scheme not in init.names():
            raise NotImplementedError(f"this version has no scheme {scheme}")
        minidl.set_num_threads(1)

    def time_make(self, scheme):
        minidl.MLP([784, 256, 128, 10], "relu", init=scheme, seed=0)
