"""Imports point one way, NumPy is the only import at start-up, and nothing else happens there."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "minidl"

# A module may import, at module level, from its own room and from the rooms before it.
ROOMS = [
    ["errors", "version"],
    ["options"],
    ["activation_table", "activations", "targets", "losses", "schedules", "optim"],
    ["history", "progress", "callbacks", "io", "data", "tables", "pictures"],
    ["kernels"],
    ["engine"],
    ["theory"],
    ["init"],
    ["layers"],
    ["lowering", "sharing"],
    ["initialization", "walk"],
    ["training", "prediction"],
    ["model", "mlp"],
    ["interop"],
    ["saving", "summary", "config", "datasets"],
    ["jobs"],
    ["bench", "compare"],
    ["reproduce"],
    ["__init__"],
    ["cli"],
    ["__main__"],
]
# Rooms that must not know each other at all, not even inside a function.
STRANGERS = [
    ("kernels", "layers"),
    ("kernels", "engine"),
    ("kernels", "init"),
    ("engine", "layers"),
    ("engine", "losses"),
    ("init", "engine"),
    ("init", "layers"),
    ("theory", "kernels"),
    ("theory", "engine"),
    ("theory", "init"),
    ("theory", "model"),
    ("layers", "kernels"),
    ("lowering", "kernels"),
    ("datasets", "model"),
    ("interop", "engine"),
    ("interop", "kernels"),
]

CYTHON_IMPORT = re.compile(
    r"^(?:from\s+(?P<where>\S+)\s+c?import\s+(?P<names>\([^)]*\)|[^\n#]*)|c?import\s+(?P<plain>\S+))",
    re.MULTILINE,
)

pytestmark = pytest.mark.skipif(not SOURCE.is_dir(), reason="needs the source tree")


# --- the graph ------------------------------------------------------------------------------------


def modules():
    """Return the files of every module by its dotted name; a .pyx and its .pxd are one module."""
    found = {}
    for path in sorted(SOURCE.rglob("*")):
        if path.suffix in (".py", ".pyx", ".pxd"):
            parts = ["minidl", *path.relative_to(SOURCE).with_suffix("").parts]
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found.setdefault(name, []).append(path)
    return found


MODULES = modules() if SOURCE.is_dir() else {}


def room(module):
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def resolve(where, names):
    """Return the modules that ``from where import names`` refers to."""
    for name in names:
        yield f"{where}.{name}" if f"{where}.{name}" in MODULES else where


def python_imports(module, path):
    """Yield (target, whether it is imported when the module is)."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    inside = {
        node
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node not in inside
        elif isinstance(node, ast.ImportFrom):
            where = node.module or ""
            if node.level:
                parts = package.split(".")
                base = parts[: len(parts) - node.level + 1]
                where = ".".join([*base, where] if where else base)
            for target in resolve(where, [alias.name for alias in node.names]):
                yield target, node not in inside


def cython_imports(path):
    for match in CYTHON_IMPORT.finditer(path.read_text(encoding="utf-8")):
        if match["plain"]:
            yield match["plain"], True
        else:
            names = re.split(r"[\s,()]+", re.sub(r"\s+as\s+\w+", "", match["names"]))
            for target in resolve(match["where"], [name for name in names if name]):
                yield target, True


def arrows():
    """Return all arrows inside the package: (from, to, at module level)."""
    found = set()
    for module, paths in MODULES.items():
        for path in paths:
            imports = python_imports(module, path) if path.suffix == ".py" else cython_imports(path)
            for target, at_once in imports:
                if target in MODULES and target != module:
                    found.add((module, target, at_once))
    return found


def test_the_graph_is_read_correctly():
    found = arrows()
    assert len(MODULES) > 40
    for expected in (
        ("minidl.optim", "minidl.schedules", True),  # from . import schedules
        ("minidl.datasets.spirals", "minidl.data", True),  # from ..data import float_dtype
        ("minidl.training", "minidl.losses", True),  # from minidl import losses, optim
        ("minidl.kernels.matmul", "minidl.kernels.activation", True),  # cimport
        ("minidl.kernels.matmul", "minidl.errors", True),
        ("minidl.engine.program", "minidl.kernels.threads", True),
        ("minidl.model", "minidl.saving", False),  # inside a function
    ):
        assert expected in found, expected


def test_every_module_has_a_room():
    placed = [name for names in ROOMS for name in names]
    assert len(placed) == len(set(placed))
    assert {room(module) for module in MODULES} == set(placed)


def test_imports_point_one_way():
    level = {name: i for i, names in enumerate(ROOMS) for name in names}
    back = [
        f"{source} imports {target}"
        for source, target, at_once in sorted(arrows())
        if at_once and level[room(target)] > level[room(source)]
    ]
    assert back == []


def test_modules_form_no_cycle():
    graph = {module: set() for module in MODULES}
    for source, target, at_once in arrows():
        if at_once:
            graph[source].add(target)
    while graph:  # take away the modules that import none of those that are left
        free = {module for module, targets in graph.items() if not targets & set(graph)}
        assert free, f"a cycle among {sorted(graph)}"
        graph = {module: targets for module, targets in graph.items() if module not in free}


@pytest.mark.parametrize(("one", "other"), STRANGERS)
def test_rooms_that_know_nothing_of_each_other(one, other):
    known = [(a, b) for a, b, _ in arrows() if room(a) == one and room(b) == other]
    assert known == []
    assert one in {room(m) for m in MODULES}
    assert other in {room(m) for m in MODULES}


# --- what happens at import -----------------------------------------------------------------------

STARTUP = """
import os, sys, threading
import numpy
def tasks():
    return len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 0
def heavy():
    names = ("scipy", "tqdm", "torch", "matplotlib", "sklearn", "pooch", "multiprocessing", "asyncio")
    return [name for name in (*names, "minidl.datasets", "minidl.cli") if name in sys.modules]
before, n_tasks = set(sys.modules), tasks()
import minidl
new = {name.partition(".")[0] for name in set(sys.modules) - before}
print(*sorted(new - set(sys.stdlib_module_names)))
print(tasks() - n_tasks, threading.active_count())
print(*heavy())
net = minidl.MLP([3, 8, 2], "gelu", seed=0)
net.fit(numpy.ones((4, 3)), [0, 1, 0, 1], optimizer=minidl.SGD(0.1, momentum=0.9), verbose=0)
net.save("net.safetensors")
minidl.load("net.safetensors").predict(numpy.ones((4, 3)))
for activation in ("relu", "sigmoid", "tanh", "gelu"):  # "auto" asks the theory
    minidl.MLP([4] * 9, activation, seed=0)
print(*heavy())
print(tasks() - n_tasks, threading.active_count())
"""


def python(*arguments, **options):
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=120, **options
    )


def test_import_brings_numpy_alone_and_starts_no_thread(tmp_path):
    done = python("-c", STARTUP, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    packages, threads, heavy, heavy_in_use, threads_in_use = done.stdout.splitlines()
    # NumPy loads more of itself on demand; Cython modules register two helpers of their own
    assert [name for name in packages.split() if "cython" not in name] in (["minidl"], ["minidl", "numpy"])
    assert threads == threads_in_use == "0 1"  # small work runs on the thread that asks for it
    assert heavy == heavy_in_use == ""


def test_a_folder_that_is_not_compiled_says_so(tmp_path):
    def not_source(folder, names):
        return [name for name in names if Path(name).suffix not in ("", ".py") or name == "build"]

    shutil.copytree(SOURCE, tmp_path / "minidl", ignore=not_source)
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONSAFEPATH", "PYTHONPATH")}
    done = python("-c", "import minidl", cwd=tmp_path, env=env)
    assert done.returncode == 1
    message = done.stderr.splitlines()[-1]
    assert message.startswith("ImportError: minidl is not compiled here")
    assert "pip install" in message
    assert "During handling" not in done.stderr


def test_unknown_attributes_and_rooms_on_demand():
    import minidl

    with pytest.raises(AttributeError, match="module 'minidl' has no attribute 'nothing'"):
        minidl.nothing  # noqa: B018
    for name in minidl.__all__:
        assert getattr(minidl, name) is not None
    assert minidl.datasets.spirals(3)[0].shape == (3, 2)
