"""The packages of a program, and the program relocated to where they lie on another machine.

A package lies in a folder that its digest names, beside its archive `<digest>.zip`
(`workers.packages.package_folders`).
"""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from neurdicom.errors import Invalid
from neurdicom.workers.program import Program

_DIGEST: Final = re.compile(r"[0-9a-f]{64}\Z")


def package_of(path: str) -> Path:
    """Find the package folder that a path lies in. Raises `Invalid` where there is none."""
    for folder in (Path(path), *Path(path).parents):
        if _DIGEST.match(folder.name):
            return folder
    raise Invalid(f"{path} lies in no package that could be sent to a Dask worker")


def packages_of(program: Program) -> list[Path]:
    """List the folders of a program's own package and of its models'."""
    return [package_of(path) for path in (program.target, *program.models.values())]


def moved(program: Program, place: Callable[[Path], Path | str]) -> Program:
    """Copy a program with its packages elsewhere.

    `place` maps a package's folder to its new one.
    """

    def move(path: str) -> str:
        package = package_of(path)
        return str(Path(place(package)) / Path(path).relative_to(package))

    models = {name: move(path) for name, path in program.models.items()}
    return replace(program, target=move(program.target), models=models)
