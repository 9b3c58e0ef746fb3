"""Every test leaves the thread limit and the instruction set level as it found them."""

import signal
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for `import helpers`, whatever the import mode

from minidl import kernels

pytest.register_assert_rewrite("helpers", "init_helpers")  # their asserts show values, too

# Shells start what runs in the background deaf to Ctrl-C, and children inherit that: not those of the tests.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _restore_settings():
    level = kernels.isa()
    yield
    kernels.set_isa(level)
    kernels.set_num_threads(None)
