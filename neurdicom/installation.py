"""How NeurDICOM was installed, and the command that installs one of its extras."""

import json
import re
import shlex
from importlib import metadata
from pathlib import Path

_NAME = "neurdicom"
_EXTRA = re.compile(r"""\bextra\s*==\s*["']([\w.-]+)["']""")


def how_to_install(extra: str) -> str:
    """Describe how to install an extra.

    NeurDICOM is in no package index: in a checkout the command names the checkout, elsewhere the packages of the extra.

    Parameters
    ----------
    extra : str
        An extra of pyproject.toml, such as `models`.

    Returns
    -------
    str
        End of a sentence for an error message: the extra, and the pip command.
    """
    if is_checkout():
        return f"the extra {extra!r} installs it; in NeurDICOM's checkout: pip install -e '.[{extra}]'"
    needed = requirements_of(extra)
    if not needed:
        return f"the extra {extra!r} installs it"
    return f"the extra {extra!r} installs it: pip install {' '.join(map(shlex.quote, needed))}"


def is_checkout() -> bool:
    """Tell whether the running package lies in a checkout: installed as editable, or not installed."""
    try:
        origin = metadata.distribution(_NAME).read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        origin = None
    if origin is not None:
        return bool(json.loads(origin).get("dir_info", {}).get("editable", False))
    return (Path(__file__).parents[1] / "pyproject.toml").is_file()


def requirements_of(extra: str) -> list[str]:
    """List the requirements of an extra in pip's syntax; empty where NeurDICOM is not installed."""
    try:
        listed = metadata.requires(_NAME) or []
    except metadata.PackageNotFoundError:
        return []
    parts = (each.partition(";") for each in listed)
    return [name.strip() for name, _, marker in parts if (found := _EXTRA.search(marker)) and found[1] == extra]
