"""Bad Python plugins: `neurdicom plugin check` finds what is wrong with each."""

from pathlib import Path
from typing import Any

import pytest

from neurdicom.errors import Invalid
from tests.support.devtools import check, found, invoke, python_plugin

SEGMENTS = {"type": "SEGMENTATION", "segments": [{"number": 1, "label": "one"}, {"number": 2, "label": "two"}]}
VOLUME = {"type": "MEASUREMENTS", "measurements": [{"name": "lesions.volume_ml", "unit": "mL"}]}


@pytest.mark.parametrize(
    ("body", "result", "about", "words"),
    [
        ("kept.append(ds.pixel_array * 1.0)\nreturn {'n': 1}", None, "leak", "bytes of memory and"),
        ("kept.append([len(kept)])\nreturn {'n': 1}", None, "leak", "Python objects behind"),
        ("kept.append(open('/dev/null'))\nreturn {'n': 1}", None, "leak", "open files behind"),
        ("return {'n': float(np.random.random())}", None, "determinism", "in the same worker"),
        ("self.n = getattr(self, 'n', 0) + 1\nreturn {'n': self.n}", None, "determinism", "gave another result"),
        ("return {'n': os.getpid()}", None, "determinism", "in a fresh worker"),
        ("return ds.pixel_array.ravel()", {"type": "IMAGE"}, "run", "an image is a 2-D or 3-D array"),
        ("return None", None, "run", "process returned None"),
        ("return ds.pixel_array[60, 60]", None, "run", "IndexError"),
        ("os._exit(3)", None, "run", "ended its process with status 3"),
        (
            "return b'bytes'",
            {"type": "IMAGE"},
            "result",
            "META.json declares the result IMAGE, and the plugin returned bytes, 5 bytes",
        ),
        ("return {'n': 1}", VOLUME | {"measurements": []}, None, ""),
        ("return {'text': 'no number'}", VOLUME, "result", "at least one is expected"),
        (
            "return ds.pixel_array * 0 + 0.5",
            SEGMENTS,
            "result",
            "the label map has the value 0.5; whole numbers are expected",
        ),
        ("return ds.pixel_array * 0 + 3", SEGMENTS, "result", "the labels 3 are not among the segments"),
        (
            "return (ds.pixel_array * 0 + 1)[:, :9]",
            SEGMENTS,
            "result",
            "the label map is 53 × 9; the shape of the image, 53 × 37",
        ),
        ("ds.PatientID = 'x'\nds.save_as(ds.filename)\nreturn {'n': 1}", None, "files", "the stored instance"),
        ("os.chdir('/')\nreturn {'n': 1}", None, "settings", "a call changes the working folder"),
        ("np.seterr(all='ignore')\nreturn {'n': 1}", None, "settings", "numpy's error handling"),
        ("raise ValueError('an image of 100 x 100 is expected')", None, "run", "it refuses every sample"),
    ],
)
def test_a_fault_is_found(
    files: dict[str, Path], tmp_path: Path, body: str, result: dict[str, Any] | None, about: str | None, words: str
) -> None:
    path = python_plugin(tmp_path / "plugin", body, **({"result": result} if result is not None else {}))
    image = tmp_path / "image.dcm"
    image.write_bytes(files["odd size"].read_bytes())
    report = check(path, "--no-samples", "--on", image)
    assert set(found(report)) == ({about} if about is not None else set()), report["findings"]
    if about is not None:
        assert words in found(report)[about]


def test_advice_is_no_failure(files: dict[str, Path], tmp_path: Path) -> None:
    odd = ["--no-samples", "--on", files["not a number"]]
    path = python_plugin(tmp_path / "a", "return {'mean': float(ds.pixel_array.mean())}", result={"type": "JSON"})
    report = check(path, *odd)
    assert report["ok"]
    assert "null, which is written for not-a-number" in found(report, "advice")["nan"]
    path = python_plugin(tmp_path / "b", "return {'lesions': [{'mm': 3}]}", result=VOLUME)
    assert "no number for META.json's measurements 'lesions.volume_ml'" in found(check(path, *odd), "advice")["result"]
    path = python_plugin(tmp_path / "c", "open(__file__ + '.log', 'w').write('x')\nreturn {'n': 1}")
    assert "plugin.py.log" in found(check(path, *odd), "advice")["files"]
    path = python_plugin(tmp_path / "d", "if ds.Rows == 1:\n    raise ValueError('one row')\nreturn {'n': 1}")
    report = check(path, *odd, "--on", files["one row"])
    assert [row["outcome"] for row in report["samples"]] == ["ok", "refused"]
    assert report["ok"]


def test_a_plugin_that_does_not_load(tmp_path: Path) -> None:
    report = check(python_plugin(tmp_path / "plugin", "import there_is_none\n\n\nclass Plugin:\n    pass\n"))
    assert list(found(report)) == ["load"]
    assert "there_is_none" in found(report)["load"]
    assert report["samples"] == []


def test_the_table_and_the_parameters(tmp_path: Path) -> None:
    params = {"k": {"type": "int", "range": [2, 9]}, "how": {"type": "text", "values": ["a", "b"]}}
    path = python_plugin(tmp_path / "plugin", "return {'n': kwargs['k']}", params=params, result={"type": "JSON"})
    status, output = invoke("check", path)
    assert status == 0
    assert "k: an integer from 2 to 9 (required, here 2)" in output
    assert "how: text, one of 'a', 'b' (required, here 'a')" in output
    assert "No problems found." in output
    assert "JSON {n}" in output
    for name in ("1 × 1", "not a number", "multi-frame", "colour", "large", "signed extremes"):
        assert name in output
    with pytest.raises(Invalid, match="'k' is '1'"):
        invoke("check", path, "-p", "k=1")
    with pytest.raises(Invalid, match="nothing to run on"):
        invoke("check", path, "--no-samples")


def test_a_folder_of_own_files_and_a_result(files: dict[str, Path], tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    for index, name in enumerate(("odd size", "colour")):
        (own / f"{index}.dcm").write_bytes(files[name].read_bytes())
    path = python_plugin(tmp_path / "plugin", "return ds.pixel_array", result={"type": "IMAGE"})
    report = check(path, "--no-samples", "--on", own, "-o", tmp_path / "out.png")
    assert [(row["sample"], row["shape"]) for row in report["samples"]] == [("0.dcm", [53, 37]), ("1.dcm", [47, 62])]
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")
