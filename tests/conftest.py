"""Every test leaves the thread limit and the instruction set level as it found them."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for `import helpers`, whatever the import mode

from minidl import kernels


@pytest.fixture(autouse=True)
def _restore_settings():
    level = kernels.isa()
    yield
    kernels.set_isa(level)
    kernels.set_num_threads(None)
