"""Build of the extensions: C leaves once per instruction set level and dtype, Cython modules once.

Everything else about the project stands in pyproject.toml. Three environment variables matter here:

MINIDL_OPT=1|2|3    optimization level, 3 by default: the bits must not depend on it
MINIDL_DEBUG=1      -O1 -g, AddressSanitizer and UndefinedBehaviorSanitizer (see CONTRIBUTING.md)
MINIDL_OPENMP=0     build without OpenMP: one thread
"""

import os
import platform
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

DEBUG = os.environ.get("MINIDL_DEBUG") == "1"
OPT = os.environ.get("MINIDL_OPT") or ("1" if DEBUG else "3")
if OPT not in ("1", "2", "3"):
    raise SystemExit(f"MINIDL_OPT={OPT!r}: expected 1, 2 or 3")
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"] if DEBUG else []

# The numeric contract rests on these: no contraction of a*b+c that the source does not ask for, no
# reordering, no reading of errno or traps.
COMMON = ["-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fvisibility=hidden"]
COMMON += [f"-O{OPT}", *(["-g", "-fno-omit-frame-pointer", *SANITIZE] if DEBUG else ["-g0"])]
LEAF = ["-std=c11", "-Wall", "-Wextra", "-Wdouble-promotion", *COMMON]
CYTHON = ["-Wno-unused-function", *COMMON]
LINK = SANITIZE if DEBUG else ["-Wl,-s"] if platform.system() == "Linux" else []

# The one table of levels: csrc/dispatch.c tests for exactly these features at run time.
# PREFETCHW needs no test: a CPU of this level that does not know it takes it for a NOP.
V3 = ["-mavx2", "-mfma", "-mbmi2", "-mprfchw"]
V4 = [*V3, "-mavx512f", "-mavx512vl", "-mavx512bw", "-mavx512dq", "-mprefer-vector-width=512"]
X86 = {"x86_v3": V3, "x86_v4": V4}
NEON = {"neon": []}
LEVELS = {
    "portable": [],
    **{"x86_64": X86, "amd64": X86, "aarch64": NEON, "arm64": NEON}.get(platform.machine().lower(), {}),
}

HEADERS = sorted(Path("csrc").glob("*.h"))

MODULES = {  # extension -> C files besides its .pyx
    "minidl.kernels._leaf": ["csrc/dispatch.c"],
    "minidl.kernels.packing": [],
    "minidl.kernels.gemm": [],
    "minidl.kernels.burst": [],
    "minidl.kernels.matmul": [],
    "minidl.kernels.activation": [],
    "minidl.kernels.reduction": [],
    "minidl.kernels.loss": [],
    "minidl.kernels.update": [],
    "minidl.kernels.machine": [],
    "minidl.kernels.timing": [],
    "minidl.kernels.random": ["csrc/random.c"],
    "minidl.engine.execute": [],
    "minidl.engine.predict": [],
    "minidl.engine.steps": [],
    "minidl.engine.program": [],
}


class BuildExtensions(build_ext):
    """Compiles the leaves of every level and probes the compiler for OpenMP."""

    def build_extensions(self):
        self.parallel = self.parallel or os.cpu_count()
        openmp = [] if os.environ.get("MINIDL_OPENMP") == "0" else self.openmp_flags()
        for ext in self.extensions:
            ext.extra_compile_args += openmp
            ext.extra_link_args += openmp
        # what an earlier build with other flags left behind is not reused
        flags = " ".join([*self.compiler.compiler_so, *LEAF, *LINK, *openmp])
        stamp = Path(self.build_temp, "flags")
        if not stamp.exists() or stamp.read_text() != flags:
            self.force = True
        super().build_extensions()
        stamp.write_text(flags)

    def build_extension(self, ext):
        if ext.name == "minidl.kernels._leaf":  # the one owner of the leaves
            jobs = [(level, is_double) for level in LEVELS for is_double in (0, 1)]
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                ext.extra_objects += list(pool.map(lambda job: self.compile_level(*job), jobs))
        super().build_extension(ext)

    def compile_level(self, level, is_double):
        """Compile csrc/isa/<level>.c for one dtype; the object is reused while csrc is older."""
        folder = Path(self.build_temp) / ("f64" if is_double else "f32")
        source = f"csrc/isa/{level}.c"
        target = folder / source.replace(".c", ".o")
        newest = max(path.stat().st_mtime for path in Path("csrc").rglob("*.[ch]"))
        if self.force or not target.exists() or target.stat().st_mtime < newest:
            self.compiler.compile(
                [source],
                output_dir=str(folder),
                macros=[("MDL_DOUBLE", str(is_double))],
                include_dirs=["csrc", "csrc/simd"],
                extra_postargs=[*LEAF, *LEVELS[level]],
            )
        return str(target)

    def openmp_flags(self):
        """Return ["-fopenmp"] if a program that uses it compiles and links, else []."""
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "probe.c"
            source.write_text("#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n")
            try:
                objects = self.compiler.compile([str(source)], output_dir=folder, extra_postargs=["-fopenmp"])
                self.compiler.link_executable(
                    objects, str(Path(folder) / "probe"), extra_postargs=["-fopenmp"]
                )
            except Exception:
                print("minidl: the compiler has no OpenMP; building for one thread")
                return []
        return ["-fopenmp"]


def extension(name, c_files):
    """One Cython module: baseline flags, no instruction set flags. One of them owns the leaves."""
    owner = name == "minidl.kernels._leaf"
    return Extension(
        name,
        [name.replace(".", "/") + ".pyx", *c_files],
        include_dirs=["csrc", "csrc/simd", numpy.get_include()],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
        depends=[str(path) for path in sorted(Path("csrc").rglob("*.[ch]") if owner else HEADERS)],
        extra_compile_args=list(CYTHON),
        extra_link_args=list(LINK),
    )


setup(
    ext_modules=cythonize(
        [extension(name, files) for name, files in MODULES.items()],
        build_dir="build/cython",
        nthreads=0,
        show_all_warnings=False,
        compiler_directives={
            "language_level": 3,
            "boundscheck": False,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": False,
            "embedsignature": True,
            "binding": True,
        },
    ),
    cmdclass={"build_ext": BuildExtensions},
)
