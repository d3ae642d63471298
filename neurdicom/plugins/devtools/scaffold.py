"""New plugins, written from templates."""

import json
import uuid
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template
from typing import Final

from neurdicom.errors import Invalid

LANGUAGES: Final = ("python", "c", "cpp")
LEVELS: Final = ("instance", "series")


def start_plugin(folder: Path, language: str, *, level: str, name: str, guid: str | None, author: str) -> None:
    """Write a working plugin into a new folder.

    Parameters
    ----------
    folder : Path
        Is made, or empty.
    language : {"python", "c", "cpp"}
        Language of the template.
    level : {"instance", "series"}
        Level of one call.
    name : str
        Name of the plugin.
    guid : str or None
        Id of the plugin; None for a new one.
    author : str
        Its author.

    Raises
    ------
    Invalid
        The folder is not empty, the name has control characters, or there is no such template.
    """
    if not name.isprintable():
        raise Invalid(f"the name {name!r} has control characters", field="name")
    if folder.exists() and any(folder.iterdir()):
        raise Invalid(f"the folder {folder} is not empty; name a new one", field="folder")
    templates = resources.files(__package__).joinpath("templates")
    chosen = templates.joinpath(language if level == "instance" else f"{language}-{level}")
    if not chosen.is_dir():
        raise Invalid(f"there is no template in {language} for level {level}; write it in C++ or Python", field="level")
    folder.mkdir(parents=True, exist_ok=True)
    values = {"name": name, "guid": guid or str(uuid.uuid4()), "author": author}
    for each in _layers(templates, language, level):
        _fill(each, folder, values)


def _layers(templates: Traversable, language: str, level: str) -> list[Traversable]:
    """List the folders of templates; a later one's file replaces an earlier one's."""
    common = ["common"] + (["native"] if language != "python" else [])
    own = [language] + ([f"{language}-{level}"] if level != "instance" else [])
    return [folder for folder in map(templates.joinpath, common + own) if folder.is_dir()]


def _fill(template: Traversable, folder: Path, values: dict[str, str]) -> None:
    for each in template.iterdir():
        if each.is_dir():
            (folder / each.name).mkdir(exist_ok=True)
            _fill(each, folder / each.name, values)
            continue
        name = each.name.removesuffix(".tmpl")
        name = "." + name.removeprefix("dot-") if name.startswith("dot-") else name
        escaped = values
        if name.endswith(".json"):
            escaped = {key: json.dumps(value)[1:-1] for key, value in values.items()}
        (folder / name).write_text(Template(each.read_text(encoding="utf-8")).substitute(escaped), encoding="utf-8")
