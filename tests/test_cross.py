"""The leaves on other machines and from other compilers: the same bits, function by function.

Takes minutes, so it runs only when asked for: ``pytest -m cross tests/test_cross.py`` (CONTRIBUTING.md).
"""

import platform
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SOURCE = HERE.parent / "csrc"

pytestmark = [
    pytest.mark.cross,
    pytest.mark.skipif(not SOURCE.is_dir(), reason="needs the source tree"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="compares with the code for x86-64-v3"),
]

# The flags of setup.py.
FLAGS = ["-std=c11", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fvisibility=hidden"]
V3 = ["-mavx2", "-mfma", "-mbmi2", "-mprfchw"]

# name -> level, compiler with its own flags, what runs the program, a file that must be there
MACHINES = {
    "GCC -O1": ("x86_v3", ["gcc", "-O1", *V3], [], None),
    "GCC -O2": ("x86_v3", ["gcc", "-O2", *V3], [], None),
    "Clang": ("x86_v3", ["clang", "-O3", *V3], [], None),
    "NEON under qemu": ("neon", ["aarch64-linux-gnu-gcc", "-O3", "-static"], ["qemu-aarch64"], None),
    "NEON under qemu, -O1": ("neon", ["aarch64-linux-gnu-gcc", "-O1", "-static"], ["qemu-aarch64"], None),
    "NEON by Clang": (
        "neon",
        ["clang", "--target=aarch64-linux-gnu", "-O3", "-static"],
        ["qemu-aarch64"],
        "/usr/aarch64-linux-gnu",
    ),
    "AVX-512 by SIMDe": (
        "x86_v4",
        ["gcc", "-O1", "-Wno-psabi", f"-I{HERE / 'cross' / 'simde'}", *V3],
        [],
        "/usr/include/simde/x86/avx512.h",
    ),
}


def digests(folder, level, compiler, runner, is_double):
    """Build the driver for a level and dtype, run it, and return its lines: function -> digest."""
    suffix = "f64" if is_double else "f32"
    program = folder / f"digests-{suffix}"
    sources = [SOURCE / "isa" / f"{level}.c", SOURCE / "random.c", HERE / "cross" / "digests.c"]
    macros = [f"-DMDL_DOUBLE={is_double}", f"-DTABLE=mdl_leaves_{level}_{suffix}"]
    include = [f"-I{SOURCE}", f"-I{SOURCE / 'simd'}"]
    build = [*compiler, *FLAGS, *macros, *include, *sources, "-lm", "-o", program]
    for command in (build, [*runner, program]):
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, done.stderr[-5000:]
    lines = [line.rsplit(" ", 1) for line in done.stdout.splitlines()]
    return {f"{suffix} {name}": value for name, value in lines}


def both(folder, level, compiler, runner=()):
    with ThreadPoolExecutor(2) as pool:
        parts = pool.map(lambda d: digests(folder, level, compiler, list(runner), d), (0, 1))
        return {name: value for part in parts for name, value in part.items()}


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """Return what GCC -O3 makes of the code for x86-64-v3, as in the installed package."""
    if "fma" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("this CPU has no FMA")
    found = both(tmp_path_factory.mktemp("v3"), "x86_v3", ["gcc", "-O3", *V3])
    assert len(found) > 140
    assert len(set(found.values())) > 130
    return found


@pytest.mark.parametrize("machine", MACHINES)
def test_same_bits(machine, expected, tmp_path):
    level, compiler, runner, needed = MACHINES[machine]
    for tool in (compiler[0], *runner):
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}")
    if needed is not None and not Path(needed).exists():
        pytest.skip(f"needs {needed}")
    found = both(tmp_path, level, compiler, runner)
    assert {name for name in expected if found.get(name) != expected[name]} == set()
    assert found.keys() == expected.keys()
