"""`neurdicom plugin check --sanitize`: what AddressSanitizer and UBSan find, with the line and the sample."""

import shutil
from pathlib import Path

import pytest

from neurdicom.errors import Invalid
from tests.support.devtools import check, found, has_compiler, invoke, native_plugin, python_plugin

pytestmark = has_compiler

FAULT = {"fault": {"type": "text", "default": "none"}}


def line_of(text: str) -> str:
    lines = (Path(__file__).parent / "zoo" / "zoo.cpp").read_text().splitlines()
    (number,) = [number for number, line in enumerate(lines, start=1) if text in line]
    return f"zoo.cpp:{number}"


@pytest.mark.parametrize(
    ("fault", "words", "line"),
    [
        ("leak", "memory leak: the memory allocated in Process", "keep(std::malloc(48))"),
        ("write_behind", "heap-buffer-overflow: writes 8 bytes in Process", "img[count] = 1.0"),
        ("write_before", "heap-buffer-overflow: writes 8 bytes in Process", "img[-1] = 1.0"),
        ("read_far", "0 bytes behind a 392-byte region", "sum = sum + img[index]"),
        ("freed", "heap-use-after-free: reads 8 bytes in Process", "img[0] = gone[1]"),
        ("overflow", "undefined behaviour: signed integer overflow", "img[0] = large + width"),
    ],
)
def test_a_fault_is_found_with_its_line(
    libraries: dict[str, Path], files: dict[str, Path], tmp_path: Path, fault: str, words: str, line: str
) -> None:
    path = native_plugin(tmp_path / "plugin", libraries["zoo"], params=FAULT)
    on = ["--no-samples", "--on", files["zeros"], "--on", files["1 × 1"]]
    report = check(path, "-p", f"fault={fault}", "--sanitize", "--library", libraries["sanitized"], *on)
    messages = [finding["message"] for finding in report["findings"]]
    assert len(messages) == 1, messages  # the same line with another image is told once
    assert report["findings"][0]["sample"] == files["zeros"].name
    assert words in found(report)["sanitizer"] or fault == "read_far"
    assert line_of(line) in found(report)["sanitizer"]


def test_what_is_sound_passes_with_all_samples(libraries: dict[str, Path], tmp_path: Path) -> None:
    path = native_plugin(tmp_path / "plugin", libraries["sanitized"], params=FAULT)
    report = check(path, "--sanitize")
    assert report["findings"] == []
    assert len(report["samples"]) >= 18
    assert report["sanitizer"].startswith("lib")


def test_a_refusal_is_no_finding(libraries: dict[str, Path], files: dict[str, Path], tmp_path: Path) -> None:
    path = native_plugin(tmp_path / "plugin", libraries["sanitized"], params=FAULT)
    report = check(path, "-p", "fault=throw", "--sanitize", "--no-samples", "--on", files["1 × 1"])
    assert [row["message"] for row in report["samples"]] == ["thrown on purpose"]
    report = check(path, "-p", "fault=refuses", "--sanitize", "--no-samples", "--on", files["1 × 1"])
    assert [row["outcome"] for row in report["samples"]] == ["refused"]
    assert report["ok"]


def test_without_the_sanitizer(libraries: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = native_plugin(tmp_path / "plain", libraries["zoo"], params=FAULT)
    with pytest.raises(Invalid, match="not built with AddressSanitizer: compile it with -fsanitize=address"):
        invoke("check", path, "--sanitize")
    with pytest.raises(Invalid, match="this one is in Python"):
        invoke("check", python_plugin(tmp_path / "python", "return {}"), "--sanitize")
    path = native_plugin(tmp_path / "sanitized", libraries["sanitized"], params=FAULT)
    assert "it was built with AddressSanitizer: give --sanitize" in found(check(path))["load"]
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shutil.which("cc") is None
    with pytest.raises(Invalid, match=r"needs the runtime libasan\.so\.\d+, which was not found"):
        invoke("check", path, "--sanitize")
