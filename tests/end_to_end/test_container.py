"""The container image's steps, as far as they go without an engine: what it copies, builds, sets and starts."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import httpx
import pytest

from neurdicom.config import Settings
from neurdicom.plugins.plugin_zip import PluginZip
from tests.support.checkout import CHECKOUT
from tests.support.server import free_port

TEXT = (CHECKOUT / "Dockerfile").read_text(encoding="utf-8")
#: Instructions, with their continuation lines.
STEPS = [
    (name, re.sub(r"\\\n", " ", arguments).strip())
    for name, arguments in re.findall(r"^([A-Z]+) ((?:.*\\\n)*.*)$", re.sub(r"^#.*\n", "", TEXT, flags=re.M), re.M)
]
PREFIX = "/opt/neurdicom"


def steps(name: str) -> list[str]:
    return [arguments for each, arguments in STEPS if each == name]


def variables() -> dict[str, str]:
    (text,) = steps("ENV")
    return dict(each.split("=", 1) for each in text.split())


def test_it_sets_what_there_is() -> None:
    """Names that `check-config` would warn of, ports that nobody listens on, and extras that there are not."""
    settings = {f"NEURDICOM_{each.name.upper()}" for each in fields(Settings)}
    assert {name for name in variables() if name.startswith("NEURDICOM_")} <= settings
    assert steps("EXPOSE") == [f"{Settings().port} {variables()['NEURDICOM_DIMSE_PORT']}"]
    project = (CHECKOUT / "pyproject.toml").read_text(encoding="utf-8")
    ((extras,),) = [re.findall(r"'\.\[(.*)\]'", step) for step in steps("RUN") if "pip install" in step]
    assert extras.split(",") == ["models", "derived", "dask"]
    assert all(re.search(rf"^{extra} = ", project, re.MULTILINE) for extra in extras.split(","))
    assert [json.loads(steps(name)[0]) for name in ("ENTRYPOINT", "CMD")] == [["neurdicom"], ["serve"]]


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files copied into the build stage, less those that .dockerignore leaves out."""
    folder = tmp_path_factory.mktemp("container") / "src"
    folder.mkdir()
    for arguments in steps("COPY"):
        *sources, target = arguments.split()
        if sources[0].startswith("--from"):
            continue
        for source in sources:
            path = CHECKOUT / source
            if path.is_dir():
                shutil.copytree(path, folder / target, ignore=shutil.ignore_patterns("build", "*.so", "__pycache__"))
            else:
                shutil.copy(path, folder / target)
    return folder


@pytest.fixture(scope="module")
def installed(context: Path) -> Path:
    """The environment of the image, with our wheel in it, and the tests' packages in place of those of an index."""
    built = context / "build" / f"lib.linux-{os.uname().machine}-cpython-{sys.version_info[0]}{sys.version_info[1]}"
    (built / "neurdicom").mkdir(parents=True)
    for library in (CHECKOUT / "neurdicom").glob("*.so"):  # compiled once already: setuptools takes it for up to date
        copy = Path(shutil.copy(library, built / "neurdicom"))
        os.utime(copy, (time.time() + 3600,) * 2)
    opt = context.parent / "opt"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(opt)], check=True)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    environment = os.environ | {"PYTHONWARNINGS": "ignore"}
    wheels = context.parent / "wheels"
    subprocess.run([*pip, "wheel", "--no-deps", "-w", str(wheels), "."], cwd=context, env=environment, check=True)
    (wheel,) = wheels.iterdir()
    into = ["--python", str(opt / "bin" / "python")]
    subprocess.run([*pip, *into, "install", "--no-deps", str(wheel)], env=environment, check=True)
    (site,) = opt.glob("lib/*/site-packages")
    (tests,) = {str(Path(httpx.__file__).parents[1])}
    (site / "tests.pth").write_text(f"{tests}\n", encoding="utf-8")
    return opt


def test_the_wheel_starts(installed: Path, tmp_path: Path) -> None:
    ports = {"NEURDICOM_PORT": str(free_port()), "NEURDICOM_DIMSE_PORT": str(free_port())}
    own = variables() | {"NEURDICOM_DATA": str(tmp_path / "data"), "NEURDICOM_HOST": "127.0.0.1"} | ports
    own["PATH"] = own["PATH"].replace(PREFIX, str(installed)).replace("$PATH", os.environ["PATH"])
    environment = {key: value for key, value in os.environ.items() if not key.startswith("NEURDICOM_")} | own
    (health,) = steps("HEALTHCHECK")
    check = json.loads(health[health.index("[") :].replace(":8080", f":{ports['NEURDICOM_PORT']}"))

    def said(script: str) -> str:
        command = ["python", "-c", script]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        return done.stdout

    command = ["neurdicom", "serve"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            lines = []
            for line in process.stdout:
                lines.append(line)
                if "ready at" in line:
                    break
            text = "".join(lines)
            assert "one-time password" in text and f":{ports['NEURDICOM_DIMSE_PORT']}" in text, text
            assert subprocess.run(check, env=environment, check=False).returncode == 0
            assert said("import neurdicom; print(neurdicom.__file__)").startswith(str(installed))
            hint = said("from neurdicom.installation import how_to_install as how; print(how('models'))")
            assert "pip install 'onnxruntime>=" in hint
        finally:
            process.send_signal(signal.SIGTERM)
    assert process.returncode == 0


def test_the_shipped_plugins_are_packed(context: Path, installed: Path) -> None:
    """Pack a plugin in Python and one in C++ for all, which the tests of the shipped plugins build."""
    (step,) = [each for each in steps("RUN") if each.startswith("make")]
    command = step.partition("&&")[0].replace(PREFIX, str(installed)).split()
    environment = os.environ | {"PATH": f"{installed / 'bin'}:{os.environ['PATH']}"}
    subprocess.run([*command, "build/hello.zip", "build/threshold.zip"], cwd=context, env=environment, check=True)
    for archive in (context / "plugins" / "build").iterdir():
        with PluginZip(archive) as package:
            assert package.manifest.name
    everything = subprocess.run([*command, "--dry-run"], cwd=context, capture_output=True, text=True, check=True).stdout
    for folder in (CHECKOUT / "plugins").glob("*/META.json"):
        assert f"plugin pack {folder.parent.name} " in everything or folder.parent.name in ("hello", "threshold")
