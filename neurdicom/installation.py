"""The way in which NeurDICOM was installed, and the command that adds one of its extras to that."""

import json
import re
import shlex
from importlib import metadata
from pathlib import Path

_NAME = "neurdicom"
_EXTRA = re.compile(r"""\bextra\s*==\s*["']([\w.-]+)["']""")


def how_to_install(extra: str) -> str:
    """Say how an extra is added.

    No index has NeurDICOM, so that its name with an extra finds nothing there: in a checkout the checkout is named,
    elsewhere what the extra consists of.

    Parameters
    ----------
    extra : str
        An extra of pyproject.toml, such as `models`.

    Returns
    -------
    str
        A sentence's end, for an error message: the extra, and a command that works.
    """
    if is_checkout():
        return f"the extra {extra!r} brings it; in NeurDICOM's checkout: pip install -e '.[{extra}]'"
    needed = requirements_of(extra)
    if not needed:
        return f"the extra {extra!r} brings it"
    return f"the extra {extra!r} brings it: pip install {' '.join(map(shlex.quote, needed))}"


def is_checkout() -> bool:
    """Tell whether the package that runs lies in a checkout, installed as editable or not at all."""
    try:
        origin = metadata.distribution(_NAME).read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        origin = None
    if origin is not None:
        return bool(json.loads(origin).get("dir_info", {}).get("editable", False))
    return (Path(__file__).parents[1] / "pyproject.toml").is_file()


def requirements_of(extra: str) -> list[str]:
    """List what an extra adds, as pip takes it; nothing where NeurDICOM is not installed."""
    try:
        listed = metadata.requires(_NAME) or []
    except metadata.PackageNotFoundError:
        return []
    parts = (each.partition(";") for each in listed)
    return [name.strip() for name, _, marker in parts if (found := _EXTRA.search(marker)) and found[1] == extra]
