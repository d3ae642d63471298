"""Build of the one compiled part, the Cython extension `neurdicom._bridge`; the rest is in pyproject.toml."""

from Cython.Build import cythonize
from setuptools import Extension, setup

bridge = Extension(
    "neurdicom._bridge",
    ["bridge/_bridge.pyx"],
    include_dirs=["bridge", "bridge/include"],
    depends=[
        "bridge/abi.pxd",
        "bridge/guarded.hpp",
        "bridge/reading.hpp",
        "bridge/reading.pxi",
        "bridge/watch.hpp",
        "bridge/include/neurdicom_plugin.h",
    ],
    language="c++",
    extra_compile_args=["-O3", "-std=c++17", "-fvisibility=hidden", "-ffp-contract=off"],
    libraries=["dl", "pthread"],
)

setup(ext_modules=cythonize([bridge], include_path=["bridge"], compiler_directives={"language_level": "3"}))
