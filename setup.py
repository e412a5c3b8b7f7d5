"""Builds the native tier: one extension module per instruction set, everything else for the plain machine.

A machine without a compiler still gets a working install (reference tier, and it says so). Environment:

    EDGERT_REQUIRE_NATIVE=1   a module that does not build is an error (this project's own Makefile and CI)
    EDGERT_NO_NATIVE=1        compile nothing
    CC, CFLAGS, LDFLAGS       as everywhere; _PYTHON_HOST_PLATFORM=linux-aarch64 names another machine (tools/arm/)
"""

import os
import sys
import sysconfig
from glob import glob
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

NATIVE = "kernels/native"
WHY_NOT = f"{NATIVE}/not_built.txt"  # installed with the package when a module is missing; `edgert doctor` shows it

# The compiler may not contract or reorder floating point: every tier gives the same bits.
COMPILE = ["-O3", "-g0", "-std=gnu11", "-ffp-contract=off", "-fno-math-errno", "-fvisibility=hidden", "-pthread"]
LINK = ["-pthread", "-s", "-Wl,-z,noseparate-code"]  # no padding to whole pages between code and tables

# Modules above the baseline are loaded only after kernels/cpu.py saw the flags they need.
# NEON: tiles are written in the order in which 32 registers suffice; GCC's first scheduling pass would not keep to it,
# and by default it unrolls no loop of more than 16 rounds.
NEON = ["-fno-schedule-insns", "--param=max-completely-peel-times=20"]
AVX512VNNI = ["-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx512vnni", "-mprefer-vector-width=512"]
SCALAR = ["-Os"]  # the tier of last resort: faster code would add 0.3 megabytes to every installation
PROGRAM = ["-O2"]  # steps and locks, nothing to unroll
LOOPS = ["-O2", "-fvect-cost-model=dynamic"]  # vectors as with -O3, without its copies of loops
MODULES = {
    "x86_64": {"_avx512vnni": AVX512VNNI, "_avx2": ["-mavx2"], "_scalar": SCALAR},
    "aarch64": {"_neondot": ["-march=armv8.2-a+dotprod", *NEON], "_neon": NEON, "_scalar": SCALAR},
}

NOT_BUILT = """edgert: {failed} of {count} native modules were not built; without them edgert runs on slower tiers
        (`edgert doctor` tells which). First reason: {reason}
        Mend: install a C compiler and Python's headers (Debian: apt install gcc python3-dev), then
        pip install --force-reinstall --no-deps --no-cache-dir edgert   (or the folder you install from)"""


def target_machine():
    """The machine we build for: a cross build's if one is named, and a 32-bit Python's kernel does not count."""
    cross = os.environ.get("_PYTHON_HOST_PLATFORM")
    return sysconfig.get_platform().rsplit("-", 1)[-1] if cross or sys.maxsize > 2**32 else "other"


def native_extensions():
    if os.environ.get("EDGERT_NO_NATIVE") == "1":
        return []
    depends = ["setup.py", *(f for kind in ("pxd", "pxi", "h") for f in glob(f"{NATIVE}/**/*.{kind}", recursive=True))]
    everywhere = {"program": PROGRAM, "choose": LOOPS, "boxes": LOOPS, "pixels": []}
    modules = everywhere | MODULES.get(target_machine(), {"_scalar": SCALAR})
    return [
        Extension(
            f"edgert.kernels.native.{name}",
            [f"{NATIVE}/{name}.pyx"],
            include_dirs=[NATIVE],
            depends=depends,
            extra_compile_args=COMPILE + flags,
            extra_link_args=LINK,
        )
        for name, flags in modules.items()
    ]


class BuildNative(build_ext):
    """Cython and compiler; a module that fails is left out unless EDGERT_REQUIRE_NATIVE=1."""

    def finalize_options(self):
        super().finalize_options()
        # Two, not all cores: a compiler process takes up to 300 MB and a Pi Zero 2 W has 512.
        self.parallel = self.parallel or min(2, os.cpu_count() or 1)

    def build_extensions(self):
        self.failures = {}
        for ext in self.extensions:
            self.attempt(ext, self.translate)
        self.extensions = [ext for ext in self.extensions if ext.name not in self.failures]
        super().build_extensions()
        self.extensions = [ext for ext in self.extensions if ext.name not in self.failures]
        self.report()

    def translate(self, ext):
        from Cython.Build import cythonize

        # Cython looks for a cimported edgert.kernels.native.X in a folder of that name, our sources lie in kernels/.
        alias = Path("build/cython/path/edgert/kernels")
        if not alias.is_symlink():
            alias.parent.mkdir(parents=True, exist_ok=True)
            alias.symlink_to(os.path.relpath("kernels", alias.parent))
        options = {"build_dir": "build/cython", "include_path": [NATIVE, "build/cython/path"]}
        (translated,) = cythonize([ext], force=self.force, quiet=True, language_level=3, **options)
        ext.sources = translated.sources

    def build_extension(self, ext):
        self.attempt(ext, super().build_extension)

    def attempt(self, ext, step):
        try:
            step(ext)
        except Exception as error:  # Cython missing, CompileError, a broken tool chain: all mean "not built"
            if os.environ.get("EDGERT_REQUIRE_NATIVE") == "1":
                raise
            self.failures[ext.name] = f"{type(error).__name__}: {error}"

    def report(self):
        note = Path(WHY_NOT) if self.inplace else Path(self.build_lib, "edgert", WHY_NOT)
        note.unlink(missing_ok=True)
        if self.failures:
            count, reason = len(self.failures) + len(self.extensions), next(iter(self.failures.values()))
            text = NOT_BUILT.format(failed=len(self.failures), count=count, reason=reason)
            print(f"\n{text}\n", file=sys.stderr)
            note.parent.mkdir(parents=True, exist_ok=True)
            note.write_text(text + "\n", encoding="utf-8")


setup(
    packages=find_packages(include=["edgert", "edgert.*"])
    + ["edgert.kernels"]
    + [f"edgert.kernels.{name}" for name in find_packages("kernels")]
    + ["edgert.deploy", "edgert.deploy.board", "edgert.deploy.units"],
    package_dir={"edgert": "edgert", "edgert.kernels": "kernels", "edgert.deploy": "deploy"},
    ext_modules=native_extensions(),
    cmdclass={"build_ext": BuildNative},
)
