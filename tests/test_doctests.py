"""Every example in a docstring runs and gives what it shows, in compiled modules too."""

import doctest
import importlib
import inspect
import pkgutil

import numpy as np
import pytest

import minidl
from minidl import reproduce

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

# Modules without anything that a user calls by itself.
WITHOUT_EXAMPLES = {
    "minidl",  # its docstring shows the first lines of a program; the rooms have the examples
    "minidl.cli",
    "minidl.config",
    "minidl.activation_table",
    "minidl.engine",
    "minidl.engine.builder",
    "minidl.engine.predict",
    "minidl.engine.execute",
    "minidl.engine.ops",
    "minidl.engine.program",
    "minidl.engine.reference",
    "minidl.engine.steps",
    "minidl.kernels",
    "minidl.kernels.gemm",
    "minidl.lowering",
    "minidl.summary",
    "minidl.targets",
    "minidl.training",
    "minidl.version",
}


def module_names():
    found = pkgutil.walk_packages(minidl.__path__, "minidl.")
    return ["minidl", *(info.name for info in found if info.name != "minidl.__main__")]


class Finder(doctest.DocTestFinder):
    """Also finds the functions and classes of compiled modules, and looks inside properties."""

    def _from_module(self, module, thing):
        if inspect.isbuiltin(thing) or type(thing).__name__ == "cython_function_or_method":
            return getattr(thing, "__module__", None) == module.__name__
        try:
            return super()._from_module(module, thing)
        except ValueError:
            return False


def examples_of(module):
    """Return the doctests of a module, each docstring once."""
    names = {"np": np, "minidl": minidl}
    tests = Finder(exclude_empty=True).find(module, module.__name__, globs=vars(module) | names)
    known = {test.name for test in tests}
    for name, thing in vars(module).items():  # functions that a stricter finder does not see
        compiled = type(thing).__name__ in ("cython_function_or_method", "builtin_function_or_method")
        title = f"{module.__name__}.{name}"
        if compiled and thing.__module__ == module.__name__ and title not in known:
            parsed = doctest.DocTestParser().get_doctest(
                inspect.getdoc(thing) or "", vars(module) | names, title, None, None
            )
            tests.append(parsed)
    return [test for test in tests if test.examples]


@pytest.mark.parametrize("name", module_names())
def test_examples(name):
    module = importlib.import_module(name)
    report, failed, tried = [], 0, 0
    runner = doctest.DocTestRunner(optionflags=FLAGS, verbose=False)
    for test in examples_of(module):
        result = runner.run(test, out=report.append, clear_globs=False)
        failed, tried = failed + result.failed, tried + result.attempted
    assert failed == 0, "\n" + "".join(report)
    assert tried > 0 or name in WITHOUT_EXAMPLES, f"{name} shows no example"


def test_compiled_modules_are_looked_into():
    from minidl.kernels import _leaf, matmul, reduction

    for module in (_leaf, reduction, importlib.import_module("minidl.kernels.matmul")):
        assert {test.name for test in examples_of(module)} - {module.__name__}
    assert "minidl.kernels._leaf.use_isa" in {test.name for test in examples_of(_leaf)}
    assert callable(matmul)


def public_callables():
    """Yield what `__all__` of the package and of its rooms offers."""
    for room in (
        minidl,
        minidl.kernels,
        minidl.init,
        minidl.losses,
        minidl.schedules,
        minidl.callbacks,
        minidl.datasets,
        minidl.theory,
        reproduce,
    ):
        for name in room.__all__:
            thing = getattr(room, name)
            if callable(thing) and not inspect.ismodule(thing):
                yield f"{room.__name__}.{name}", thing


@pytest.mark.parametrize(("name", "thing"), list(public_callables()))
def test_public_names_are_documented(name, thing):
    text = inspect.getdoc(thing)
    assert text, f"{name} has no docstring"
    assert len(text.splitlines()[0]) > 20 or "\n" in text
