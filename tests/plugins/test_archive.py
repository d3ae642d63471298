"""Archives: where META.json may lie, what makes a plugin, and everything hostile that a ZIP can hold."""

import io
import json
import random
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurdicom.errors import Invalid
from neurdicom.plugins.plugin_zip import PluginZip
from neurdicom.workers.packages.package_zip import Limits, extract_into_place
from tests.support.packages import meta, package, zipped

META = json.dumps(meta())


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., PluginZip]:
    def write_and_open(data: bytes, **limits: Any) -> PluginZip:
        path = tmp_path / "archive.zip"
        path.write_bytes(data)
        return PluginZip(path, Limits(**limits))

    return write_and_open


def entry(name: str, mode: int = stat.S_IFREG | 0o644) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = mode << 16
    return info


@pytest.mark.parametrize("top", ["", "plugin/", "Мой плагин/", "./", "plugin\\"])
def test_meta_lies_at_the_root_or_in_the_single_folder(opened: Any, tmp_path: Path, top: str) -> None:
    with opened(package(top=top, files={"data/a.txt": "x"})) as archive:
        assert (archive.kind, archive.target) == ("python", "plugin.py")
        assert archive.files == ("META.json", "data/a.txt", "plugin.py")
        extract_into_place(archive, tmp_path / "out")
    assert (tmp_path / "out/data/a.txt").read_text() == "x"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["archive.zip", "out"]


def test_what_macs_and_folders_add_does_not_matter(opened: Any, tmp_path: Path) -> None:
    data = zipped(
        {
            entry("plug/", stat.S_IFDIR | 0o755): "",
            "__MACOSX/plug/._plugin.py": b"\0\5\x16\7",
            "__MACOSX/._plug": b"",
            ".DS_Store": b"",
            "plug/.DS_Store": b"",
            "plug/._plugin.py": b"",
            "plug/META.json": META,
            "plug/plugin.py": "",
            entry("plug/empty/", stat.S_IFDIR | 0o755): "",
        }
    )
    with opened(data) as archive:
        assert archive.files == ("META.json", "plugin.py")
        archive.extract(tmp_path / "out")
    assert (tmp_path / "out/empty").is_dir()


@pytest.mark.parametrize(
    ("files", "fields", "expected"),
    [
        (["plugin.py", "helper.so"], {}, ("python", "plugin.py")),
        (["lib.so"], {}, ("native", "lib.so")),
        (["lib.so.1.2"], {}, ("native", "lib.so.1.2")),
        (["lib/lib.so"], {}, ("native", "lib/lib.so")),
        (["a.so", "b/b.so"], {}, ("native", "a.so")),
        (["a.so", "b.so"], {"library": "b.so"}, ("native", "b.so")),
        (["a.so", "x/b.so"], {"library": "b.so"}, ("native", "x/b.so")),
        (["a.so", "x/b.so"], {"library": "./x/b.so"}, ("native", "x/b.so")),
    ],
)
def test_the_files_tell_the_kind(
    opened: Any, files: list[str], fields: dict[str, Any], expected: tuple[str, str]
) -> None:
    with opened(zipped({"META.json": json.dumps(meta(**fields)), **dict.fromkeys(files, b"x")})) as archive:
        assert (archive.kind, archive.target) == expected


@pytest.mark.parametrize(
    ("files", "field"),
    [
        ({}, "META.json"),
        ({"plugin.py": ""}, "META.json"),
        ({"a/META.json": META, "b/plugin.py": ""}, "META.json"),
        ({"a/b/META.json": META, "a/b/plugin.py": ""}, "META.json"),
        ({"meta.json": META, "plugin.py": ""}, "META.json"),
        ({"META.json": META}, "archive"),
        ({"META.json": META, "sub/plugin.py": ""}, "archive"),
        ({"META.json": META, "a.so": "", "b.so": ""}, "library"),
        ({"META.json": json.dumps(meta(library="x.so")), "a.so": ""}, "library"),
        ({"META.json": json.dumps(meta(library="../a.so")), "a.so": ""}, "library"),
        ({"META.json": b" " * (2 << 20), "plugin.py": ""}, "META.json"),
    ],
)
def test_an_incomplete_archive_names_what_it_lacks(opened: Any, files: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        opened(zipped(files))
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../evil.py", "leads out"),
        ("a/../../evil.py", "leads out"),
        ("..\\evil.py", "leads out"),
        ("__MACOSX/../../evil.py", "leads out"),
        ("/etc/evil", "absolute"),
        ("\\evil", "absolute"),
        ("C:\\evil", "absolute"),
        ("//host/evil", "absolute"),
        ("a\nb", "control"),
        ("d/" * 17 + "x", "levels deep"),
        ("n" * 300, "too long"),
        ("ж" * 200, "too long"),
        ("plugin.py", "twice"),
        ("./plugin.py", "twice"),
        ("plugin.py/x", "both a file and a folder"),
        ("plugin.py/", "both a file and a folder"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_hostile_name_is_refused(opened: Any, name: str, reason: str) -> None:
    with pytest.raises(Invalid, match=reason):
        opened(zipped({"META.json": META, "plugin.py": "", entry(name): "x"}))


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK])
def test_links_and_devices_are_refused(opened: Any, mode: int) -> None:
    with pytest.raises(Invalid, match=r"link|neither"):
        opened(zipped({"META.json": META, "plugin.py": "", entry("x", mode | 0o777): "/etc/passwd"}))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_without_a_bound_are_refused(opened: Any, method: int) -> None:
    with pytest.raises(Invalid, match="packed by method"):
        opened(zipped({"META.json": META, "plugin.py": ""}, method))


def test_bombs_are_refused(opened: Any) -> None:
    many = zipped({"META.json": META, "plugin.py": "", **{f"f{n}": "" for n in range(50)}})
    with pytest.raises(Invalid, match="52 entries"):
        opened(many, entries=20)
    with pytest.raises(Invalid, match="directory has"):
        opened(many, directory=1000)
    zeros = zipped({"META.json": META, "plugin.py": "", "zeros": bytes(20 << 20)})
    with pytest.raises(Invalid, match="at most 100 times"):
        opened(zeros)
    with pytest.raises(Invalid, match="inflates to"):
        opened(zeros, total=10 << 20)
    # Hidden among bytes that do not compress, one file alone is still a bomb.
    noise = random.Random(1).randbytes(1 << 20)
    with pytest.raises(Invalid, match="'zeros' inflates"):
        opened(zipped({"META.json": META, "plugin.py": "", "noise": noise, "zeros": bytes(20 << 20)}))


@pytest.mark.parametrize(("depth", "taken"), [(1, True), (2, True), (3, False), (30, False)])
def test_archives_within_archives_are_data_until_they_are_nested_too_deep(
    opened: Any, tmp_path: Path, depth: int, taken: bool
) -> None:
    inner = b"the end"
    for level in range(depth):
        inner = zipped({f"{level}.zip" if level else "end.txt": inner, "broken.zip": b"PK\3\4 not a ZIP"})
    with opened(package(files={"wheel.whl": inner})) as archive:
        if taken:
            extract_into_place(archive, tmp_path / "out")
            return
        with pytest.raises(Invalid, match="nested 3 deep"):
            extract_into_place(archive, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["archive.zip"]


@pytest.mark.parametrize("zip64", [False, True])
def test_streamed_and_zip64_archives_are_taken(opened: Any, tmp_path: Path, zip64: bool) -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    made = Pipe()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in (("META.json", META), ("plugin.py", "x = 1")):
            with archive.open(name, "w", force_zip64=zip64) as file:
                file.write(text.encode())
    with opened(made.getvalue()) as archive:
        archive.extract(tmp_path / "out")
    assert (tmp_path / "out/plugin.py").read_text() == "x = 1"


def patched(data: bytes, signature: bytes, offset: int, value: bytes, name: bytes = b"plugin.py") -> bytes:
    """The archive with bytes changed at an offset from the record that has the signature and the name."""
    at = data.rindex(signature, 0, data.rindex(name) if signature == b"PK\1\2" else data.index(name))
    return data[: at + offset] + value + data[at + offset + len(value) :]


@pytest.mark.parametrize("size", [0, 3, 1_000_000])
def test_forged_sizes_are_refused_and_leave_nothing(opened: Any, tmp_path: Path, size: int) -> None:
    data = package()
    for signature, offset in ((b"PK\1\2", 24), (b"PK\3\4", 22)):
        data = patched(data, signature, offset, struct.pack("<L", size))
    with pytest.raises(Invalid), opened(data) as archive:
        extract_into_place(archive, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["archive.zip"]


def test_a_size_that_claims_more_than_there_is_is_refused(opened: Any) -> None:
    with pytest.raises(Invalid, match="packed bytes"):
        opened(patched(package(), b"PK\1\2", 20, struct.pack("<L", 1 << 30)))


@pytest.mark.parametrize("flag", [0x1, 0x41, 0x2001])
def test_encrypted_entries_are_refused(opened: Any, flag: int) -> None:
    with pytest.raises(Invalid, match="encrypted"):
        opened(patched(package(), b"PK\1\2", 8, struct.pack("<H", flag)))


@pytest.mark.parametrize(
    "data", [b"", b"PK", b"not a zip" * 100, b"PK\5\6", package()[:-30], package()[: len(package()) // 2]]
)
def test_what_is_not_a_zip_is_refused(opened: Any, data: bytes) -> None:
    with pytest.raises(Invalid, match="not a ZIP"):
        opened(data)


WHOLE = package(top="plug/", files={"data.bin": random.Random(2).randbytes(300)})


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.binary(min_size=1, max_size=8)), min_size=1, max_size=4))
def test_any_damage_gives_a_refusal_or_a_whole_plugin(tmp_path: Path, damage: list[tuple[int, bytes]]) -> None:
    data = bytearray(WHOLE)
    for at, value in damage:
        data[at : at + len(value)] = value
    path, folder = tmp_path / "archive.zip", tmp_path / "out"
    path.write_bytes(data)
    try:
        with PluginZip(path) as archive:
            extract_into_place(archive, folder)
    except Invalid as error:
        assert str(error)
        assert not folder.exists()
    else:
        for file in sorted(folder.rglob("*"), reverse=True):
            assert not file.is_symlink()
            file.rmdir() if file.is_dir() else file.unlink()
        folder.rmdir()
    assert [each.name for each in tmp_path.iterdir()] == ["archive.zip"]
