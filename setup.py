"""Build of the compiled parts; the rest is in pyproject.toml.

`neurdicom._bridge` calls native plugins, `neurdicom._pixels` has the loops over samples.
"""

from Cython.Build import cythonize
from setuptools import Extension, setup


def extension(name: str, headers: list[str], libraries: list[str]) -> Extension:
    """One extension, from a Cython source of its name and C++ headers."""
    return Extension(
        f"neurdicom.{name}",
        [f"bridge/{name}.pyx"],
        include_dirs=["bridge", "bridge/include"],
        depends=[f"bridge/{header}" for header in headers],
        language="c++",
        # Without contraction a product and a sum round as numpy's do, on every processor.
        extra_compile_args=["-O3", "-std=c++17", "-fvisibility=hidden", "-ffp-contract=off"],
        libraries=libraries,
    )


extensions = [
    extension(
        "_bridge",
        ["abi.pxd", "guarded.hpp", "result.pxi", "watch.hpp", "include/neurdicom_plugin.h"],
        ["dl", "pthread"],
    ),
    extension("_pixels", ["reading.hpp", "scaling.hpp"], []),
]

setup(ext_modules=cythonize(extensions, include_path=["bridge"], compiler_directives={"language_level": "3"}))
