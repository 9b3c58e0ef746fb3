"""The README shows what really happens: its example prints the lines below it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from minidl.kernels import _leaf

README = Path(__file__).parent.parent / "README.md"


@pytest.mark.skipif(not README.exists(), reason="needs the source tree")
@pytest.mark.skipif(_leaf.deviations(), reason="without FMA the bits differ from those of the page")
def test_the_example_prints_what_the_page_says(tmp_path):
    text = README.read_text()
    code, output = re.search(r"```python\n(.*?)```\n\nprints\n\n```text\n(.*?)```", text, re.DOTALL).groups()
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert ran.stderr == ""
    assert ran.stdout == output
    assert len([line for line in code.splitlines() if line]) <= 12
