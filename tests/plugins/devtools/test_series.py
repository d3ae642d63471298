"""Plugins of series: the check gives them sample series, and one without `ProcessVolume` its slices."""

import json
from pathlib import Path

from tests.support.devtools import build, check, found, has_compiler, invoke, native_plugin, python_plugin

LEAK = """
import numpy as np

kept = []


class Plugin:
    def process(self, ds=None, **kwargs):
        kept.append(np.ones(100_000))
        return {"n": len(ds)}
"""


@has_compiler
def test_the_templates_agree_and_pass(tmp_path: Path) -> None:
    volumes = []
    for language in ("cpp", "python"):
        folder = tmp_path / language
        assert invoke("new", folder, "--language", language, "--level", "series")[0] == 0
        if language == "cpp":
            assert "No problems found." in build("make", "-C", folder, "plugin.so", "sanitize")
        made = tmp_path / f"{language}-samples"
        assert invoke("samples", made, "--level", "series")[0] == 0
        own = tmp_path / f"{language}-own"
        own.mkdir()
        for path in made.glob("series-*.dcm"):
            path.rename(own / path.name)
        report = check(folder, "--on", own, "-o", tmp_path / "out.json")
        assert report["findings"] == []
        assert [row["shape"] for row in report["samples"]] == [[5, 64, 56], [5, 64, 56], [3, 17, 9], [1, 12, 20]]
        assert all(row["seconds"] > 0 for row in report["samples"])
        volumes.append(json.loads((tmp_path / "out.json").read_text())["volume_ml"])
    assert volumes[0] > 0
    assert abs(volumes[0] - volumes[1]) < 1e-9


def test_a_leak_of_series_is_found(tmp_path: Path) -> None:
    report = check(python_plugin(tmp_path / "plugin", LEAK, level="series", result={"type": "JSON"}))
    assert "bytes of memory behind" in found(report)["leak"]


@has_compiler
def test_without_process_volume_it_gets_slices(libraries: dict[str, Path], tmp_path: Path) -> None:
    path = native_plugin(tmp_path / "plugin", libraries["zoo"], level="series", result={"type": "IMAGE"})
    report = check(path)
    assert report["findings"] == []
    assert report["samples"][0]["shape"] == [256, 256]
