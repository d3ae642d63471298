"""Bad native plugins: `neurdicom plugin check` finds what is wrong with each."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.devtools import check, found, has_compiler, native_plugin

pytestmark = has_compiler

FAULT = {"fault": {"type": "text", "default": "none"}}


def look(libraries: dict[str, Path], folder: Path, fault: str, *options: Any, **fields: Any) -> dict[str, Any]:
    path = native_plugin(folder / "plugin", libraries["zoo"], params=FAULT, **fields)
    return check(path, "-p", f"fault={fault}", "--no-samples", *options)


@pytest.mark.parametrize(
    ("fault", "about", "words"),
    [
        ("leak", "leak", "every call leaves 6"),
        ("leak_mapping", "leak", "every call leaves 8192 bytes of memory behind"),
        ("leak_descriptor", "leak", "1.0 open files"),
        ("leak_thread", "leak", "calls one after the other"),
        ("write_behind", "bounds", "it writes outside of the image"),
        ("write_before", "bounds", "it writes outside of the image"),
        ("read_far", "bounds", "it reads or writes outside of it"),
        ("random", "determinism", "the same input in the same worker gave another result: 1 of 1961 samples differ"),
        ("stateful", "determinism", "the same input in the same worker gave another result"),
        ("bad_json", "run", "what ResultJson returned is not JSON"),
        ("rounding", "settings", "a call changes the rounding or denormal mode"),
        ("environment", "settings", "a call changes the environment"),
        ("signals", "settings", "a call changes the handlers of signals"),
        ("streams", "settings", "a call changes the standard streams"),
        ("short_result", "bounds", "the memory of the result holds"),
        ("null", "run", "Process returned NULL: say why, with LastError"),
        ("refuses", "run", "it refuses every sample"),
    ],
)
def test_a_fault_is_found(
    libraries: dict[str, Path], files: dict[str, Path], tmp_path: Path, fault: str, about: str, words: str
) -> None:
    report = look(libraries, tmp_path, fault, "--on", files["odd size"])
    assert about in found(report)
    assert words in found(report)[about]


def test_what_is_sound_is_not_blamed(libraries: dict[str, Path], tmp_path: Path) -> None:
    path = native_plugin(tmp_path / "plugin", libraries["zoo"], params=FAULT, result={"type": "IMAGE"})
    report = check(path)
    assert report["findings"] == []
    assert len(report["samples"]) >= 18
    assert all(row["outcome"] == "ok" and row["seconds"] > 0 and row["ratio"] > 0 for row in report["samples"])
    assert report["baseline"] == "a plain C loop over the same doubles"
    assert report["growth"]["for_a_call"]["heap"] == 0.0


def test_results_that_nobody_frees(libraries: dict[str, Path], files: dict[str, Path], tmp_path: Path) -> None:
    path = native_plugin(tmp_path / "plugin", libraries["unfreed"])
    problems = found(check(path, "--no-samples", "--on", files["odd size"]))
    assert set(problems) == {"leak"}
    assert "results was freed: export FreeResult" in problems["leak"]


def test_a_crash_on_one_pixel_and_on_no_number(
    libraries: dict[str, Path], files: dict[str, Path], tmp_path: Path
) -> None:
    report = look(libraries, tmp_path / "a", "one_by_one", "--on", files["1 × 1"], "--on", files["odd size"])
    assert [row["outcome"] for row in report["samples"]] == ["failed", "ok"]
    assert "SIGFPE" in found(report)["run"]
    report = look(libraries, tmp_path / "b", "histogram", "--on", files["slice"], "--on", files["not a number"])
    assert [row["outcome"] for row in report["samples"]] == ["ok", "failed"]
    assert "SIGSEGV" in found(report)["run"]


def test_advice_is_no_failure(libraries: dict[str, Path], files: dict[str, Path], tmp_path: Path) -> None:
    report = look(libraries, tmp_path / "a", "mean", "--on", files["not a number"])
    assert report["ok"]
    assert found(report, "advice")["nan"].startswith("a few samples that are not numbers make the whole result")
    report = look(libraries, tmp_path / "b", "swapped", "--on", files["odd size"])
    assert "rows and columns are swapped" in found(report, "advice")["result"]
    report = look(libraries, tmp_path / "c", "slow", "--on", files["odd size"], "--slow", "0.05")
    assert "times a plain C loop" in found(report, "advice")["speed"]
    assert found(report, "advice")["manifest"] == "META.json has no result.type; the plugin returned image"


def test_a_segmentation_of_another_shape(libraries: dict[str, Path], files: dict[str, Path], tmp_path: Path) -> None:
    result = {"type": "SEGMENTATION", "segments": [{"number": 1, "label": "all"}]}
    report = look(libraries, tmp_path, "swapped", "--on", files["odd size"], result=result)
    assert (
        "the label map is 37 × 53; the shape of the image, 53 × 37, is expected (rows and columns are swapped)"
        in found(report)["result"]
    )


def test_a_hang_ends_with_the_time_limit(libraries: dict[str, Path], files: dict[str, Path], tmp_path: Path) -> None:
    report = look(libraries, tmp_path, "hang", "--on", files["1 × 1"], "--timeout", "0.3")
    assert "still running after 0.3 s" in found(report)["run"]


def test_what_is_allowed_becomes_advice(libraries: dict[str, Path], files: dict[str, Path], tmp_path: Path) -> None:
    report = look(libraries, tmp_path, "random", "--on", files["odd size"], "--allow", "determinism")
    assert report["ok"]
    assert "determinism" in found(report, "advice")
