"""`neurdicom plugin new | pack | check`."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from neurdicom.cli.plugin import plugin
from neurdicom.errors import Invalid
from tests.support.images import ct_image


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(plugin, [str(each) for each in arguments])


def succeed(*arguments: Any) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


@pytest.mark.parametrize("language", ["python", "c", "cpp"])
def test_a_new_plugin_works_as_it_comes(tmp_path: Path, language: str) -> None:
    folder = tmp_path / 'my "plugin"'
    succeed("new", folder, "--language", language, "--author", 'A "B" C')
    if language != "python":
        if shutil.which("make") is None or shutil.which("c++") is None:
            pytest.skip("make and a C++ compiler are needed to build the native template")
        neurdicom = f"NEURDICOM={sys.executable} -m neurdicom"
        subprocess.run(["make", "-C", folder, neurdicom], check=True, capture_output=True)
    image = tmp_path / "image.dcm"
    image.write_bytes(ct_image()[1])
    output = succeed("check", folder, "--on", image, "-p", "factor=2", "--format", "f64", "-o", tmp_path / "out")
    assert 'my "plugin" 0.1.0 by A "B" C' in output
    assert "factor: a number from 0 to 1000" in output
    assert (tmp_path / "out").stat().st_size == 6 * 8 * 8
    succeed("pack", folder, "-o", tmp_path / "a.zip")
    succeed("pack", folder, "-o", tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    assert "Loading and unloading in a worker succeeded." in succeed("check", tmp_path / "a.zip")


def test_new_keeps_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert isinstance(run("new", tmp_path).exception, Invalid)


def test_pack_leaves_out_the_workplace(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    succeed("new", folder)
    for name in ("__pycache__/x.pyc", ".git/config", "data/.hidden", "old.zip"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("x")
    succeed("pack", folder, "-o", folder / "p.zip")
    with zipfile.ZipFile(folder / "p.zip") as archive:
        assert archive.namelist() == ["META.json", "plugin.py"]


def test_pack_refuses_what_an_upload_would(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    succeed("new", folder)
    (folder / "META.json").unlink()
    assert isinstance(run("pack", folder, "-o", tmp_path / "p.zip").exception, Invalid)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p"]


def test_check_names_what_is_wrong(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    succeed("new", folder)
    image = tmp_path / "image.dcm"
    image.write_bytes(ct_image()[1])
    error = run("check", folder, "--on", image, "-p", "factor=x").exception
    assert isinstance(error, Invalid)
    assert error.field == "factor"
    assert isinstance(run("check", folder, "--on", image, "-p", "factor").exception, Invalid)
