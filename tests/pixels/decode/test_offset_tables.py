"""Offset tables that lie, empty items, wrong numbers of frames: each frame keeps its own bytes."""

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless, RLELossless

from neurdicom.dicom.header import Layout
from neurdicom.errors import NotAvailable
from neurdicom.pixels.decode.pydicom_decoder import register_codecs
from neurdicom.pixels.decode.stored import find_frames
from neurdicom.pixels.encode.codecs import ENCODERS
from neurdicom.pixels.encode.transcode import transcode
from neurdicom.pixels.pipeline import load_stored
from neurdicom.workers.loaders.results import dataset_of
from tests.support.pixel_files import layout_of, make_file

FRAMES = np.random.default_rng(6).integers(0, 4096, (4, 12, 10)).astype("u2")
UNCOMPRESSED = "1.2.840.10008.1.2.1.98"
EMPTY = b""


def codestreams(syntax: str, frames: Sequence[np.ndarray[Any, Any]] = tuple(FRAMES)) -> list[bytes]:
    made = [frame.tobytes() if syntax == UNCOMPRESSED else ENCODERS[syntax].encode(frame, 12, True) for frame in frames]
    return [each + bytes(len(each) % 2) for each in made]


def item(value: bytes) -> bytes:
    return b"\xfe\xff\x00\xe0" + struct.pack("<I", len(value)) + value


def value(items: Sequence[bytes], table: Sequence[int] = ()) -> bytes:
    return item(struct.pack(f"<{len(table)}I", *table)) + b"".join(map(item, items)) + b"\xfe\xff\xdd\xe0\0\0\0\0"


def offsets(items: Sequence[bytes]) -> list[int]:
    """Offset of each item."""
    return [sum(8 + len(each) for each in items[:number]) for number in range(len(items))]


def halves(data: bytes) -> list[bytes]:
    return [data[: len(data) // 4 * 2], data[len(data) // 4 * 2 :]]


A, B, C, D = codestreams(JPEGLSLossless)
WHOLE = offsets([A, B, C, D])
EMPTIES = [A, EMPTY, B, C, EMPTY, D]
AT = offsets(EMPTIES)
CUT = [part for each in (A, B, C, D) for part in halves(each)]
CUT_AT = offsets(CUT)

#: Name, items, and Basic Offset Table, of files whose four frames can be told.
TABLES: list[tuple[str, list[bytes], list[int]]] = [
    ("right", [A, B, C, D], WHOLE),
    ("none", [A, B, C, D], []),
    ("zeros", [A, B, C, D], [0, 0, 0, 0]),
    ("ends in 0", [A, B, C, D], [*WHOLE[:3], 0]),
    ("begins later", [A, B, C, D], [8, *WHOLE[1:]]),
    ("two swapped", [A, B, C, D], [WHOLE[0], WHOLE[2], WHOLE[1], WHOLE[3]]),
    ("backwards", [A, B, C, D], WHOLE[::-1]),
    ("one twice", [A, B, C, D], [WHOLE[0], WHOLE[1], WHOLE[1], WHOLE[3]]),
    ("without the heads of items", [A, B, C, D], [at - 8 * number for number, at in enumerate(WHOLE)]),
    ("from the beginning of the value", [A, B, C, D], [at + 24 for at in WHOLE]),
    ("one beyond the end", [A, B, C, D], [*WHOLE[:3], WHOLE[3] + 100_000]),
    ("one within a frame", [A, B, C, D], [*WHOLE[:2], WHOLE[2] + 20, WHOLE[3]]),
    ("of another file", [A, B, C, D], [0, 1000, 2000, 3000]),
    ("the largest numbers", [A, B, C, D], [0xFFFFFFFF] * 4),
    ("too short", [A, B, C, D], WHOLE[:2]),
    ("too long", [A, B, C, D], [*WHOLE, WHOLE[3] + 200]),
    ("no table, an empty item first", [EMPTY, A, B, C, D], []),
    ("an empty item first, which the table counts", [EMPTY, A, B, C, D], [0, *offsets([EMPTY, A, B, C, D])[2:]]),
    ("an empty item first, which the table takes for a frame", [EMPTY, A, B, C, D], offsets([EMPTY, A, B, C, D])[:4]),
    ("zeros, an empty item first", [EMPTY, A, B, C, D], [0] * 4),
    ("no table, empty items in the middle", EMPTIES, []),
    ("empty items in the middle", EMPTIES, [AT[0], AT[2], AT[3], AT[5]]),
    ("empty items in the middle, which begin frames", EMPTIES, [AT[0], AT[1], AT[3], AT[4]]),
    ("empty items in the middle, taken for frames", EMPTIES, AT[:4]),
    ("no table, empty items last", [A, B, C, D, EMPTY, EMPTY], []),
    ("zeros, empty items last", [A, B, C, D, EMPTY, EMPTY], [0] * 4),
    ("fragments", CUT, CUT_AT[::2]),
    ("fragments without a table", CUT, []),
    ("fragments and zeros", CUT, [0] * 4),
    ("fragments, two swapped", CUT, [CUT_AT[0], CUT_AT[4], CUT_AT[2], CUT_AT[6]]),
    ("fragments, one within a frame", CUT, [CUT_AT[0], CUT_AT[2] + 2, CUT_AT[4], CUT_AT[6]]),
    ("fragments with an empty one", [*CUT[:3], EMPTY, *CUT[3:]], []),
    ("one frame of several fragments", [A, *halves(B), C, D], [WHOLE[0], WHOLE[1], WHOLE[2] + 8, WHOLE[3] + 8]),
    ("one frame of several fragments, no table", [A, *halves(B), C, D], []),
]  # fmt: skip


def store(path: Path, data: bytes, syntax: str = JPEGLSLossless, **elements: Any) -> tuple[Path, Layout]:
    shape = {"Rows": 12, "Columns": 10, "NumberOfFrames": 4, "BitsStored": 12}
    return make_file(path, data, transfer_syntax=syntax, **(shape | elements))


def check(found: tuple[Path, Layout], frames: Sequence[np.ndarray[Any, Any]], tmp_path: Path) -> None:
    """Assert that each way to a frame finds the same."""
    path, layout = found
    count = len(frames)
    # Single ones first, in any order: none may depend on another.
    for number in (*range(count, 0, -1), *range(1, count + 1)):
        assert np.array_equal(load_stored(path, layout, number).array, frames[number - 1]), number
    expected = [each.rstrip(b"\0") for each in codestreams(layout.transfer_syntax, frames)]
    places = find_frames(path, layout, range(1, count + 1)).places
    file = path.read_bytes()
    found_bytes = [b"".join(file[each.offset : each.offset + each.length] for each in frame) for frame in places or ()]
    assert [each.rstrip(b"\0") for each in found_bytes] == expected
    single = [find_frames(path, layout, [number]).places for number in range(1, count + 1)]
    assert [each[0] for each in single if each] == places
    if layout.number_of_frames == count:
        transcode(path, layout, ExplicitVRLittleEndian, tmp_path / "native.dcm")
        native = layout_of(tmp_path / "native.dcm", tmp_path)
        assert np.array_equal([load_stored(*native, number).array for number in range(1, count + 1)], frames)


@pytest.mark.parametrize(("items", "table"), [case[1:] for case in TABLES], ids=[case[0] for case in TABLES])
def test_basic_offset_tables(tmp_path: Path, items: list[bytes], table: list[int]) -> None:
    check(store(tmp_path / "a.dcm", value(items, table)), list(FRAMES), tmp_path)


@pytest.mark.parametrize(("items", "table"), [case[1:] for case in TABLES], ids=[case[0] for case in TABLES])
@pytest.mark.parametrize("extended", [None, [0, 0, 0, 0], WHOLE])
def test_python_plugins_see_the_same_frames(
    tmp_path: Path, items: list[bytes], table: list[int], extended: list[int] | None
) -> None:
    """By `ds.pixel_array`, which pydicom's own reading of the table would join."""
    elements: dict[str, Any] = {} if extended is None else {"ExtendedOffsetTable": struct.pack("<4Q", *extended)}
    if extended is not None:
        elements["ExtendedOffsetTableLengths"] = struct.pack("<4Q", *map(len, (A, B, C, D)))
    path, layout = store(tmp_path / "a.dcm", value(items, table), **elements)
    register_codecs()
    for arguments in ({"path": str(path)}, {"path": str(path), "layout": layout.to_document()}):
        assert np.array_equal(dataset_of(arguments).pixel_array, FRAMES)


def test_a_regular_value_stays_as_it_is(tmp_path: Path) -> None:
    data = value([A, B, C, D], WHOLE)
    path, _ = store(tmp_path / "a.dcm", data)
    assert dataset_of({"path": str(path)}).PixelData == data.removesuffix(b"\xfe\xff\xdd\xe0\0\0\0\0")


@pytest.mark.parametrize(("items", "table"), [case[1:] for case in TABLES], ids=[case[0] for case in TABLES])
def test_many_frames_whose_index_is_kept(tmp_path: Path, items: list[bytes], table: list[int]) -> None:
    """As above, with so many frames that their places are cached: the same four again and again."""
    length = sum(8 + len(each) for each in items)
    tables = [(at + length * block) & 0xFFFFFFFF for block in range(10) for at in table] if len(table) == 4 else []
    found = store(tmp_path / "a.dcm", value(items * 10, tables), NumberOfFrames=40)
    check(found, [*FRAMES] * 10, tmp_path)


@pytest.mark.parametrize("syntax", [RLELossless, UNCOMPRESSED])
@pytest.mark.parametrize("table", [[], [0, 0, 0, 0], [0, 16, 8, 24]])
def test_other_transfer_syntaxes(tmp_path: Path, syntax: str, table: list[int]) -> None:
    items = codestreams(syntax)
    check(store(tmp_path / "a.dcm", value([EMPTY, *items], table), syntax), list(FRAMES), tmp_path)
    check(store(tmp_path / "b.dcm", value(items, offsets(items)), syntax), list(FRAMES), tmp_path)


def test_tiny_frames(tmp_path: Path) -> None:
    """Frames that are hardly longer than an empty item."""
    frames = np.arange(4, dtype="u2").reshape(4, 1, 1)
    items = [frame.tobytes() for frame in frames]
    for number, table in enumerate(([], offsets(items), [0] * 4)):
        found = store(tmp_path / f"{number}.dcm", value(items, table), UNCOMPRESSED, Rows=1, Columns=1)
        assert [load_stored(*found, each).array.item() for each in range(1, 5)] == [0, 1, 2, 3]


EXTENDED = [
    ("right", WHOLE, None),
    ("zeros", [0, 0, 0, 0], None),
    ("ends in 0", [*WHOLE[:3], 0], None),
    ("two swapped", [WHOLE[0], WHOLE[2], WHOLE[1], WHOLE[3]], None),
    ("not rising", WHOLE[::-1], None),
    ("outside", [*WHOLE[:3], 1 << 40], None),
    ("the largest numbers", [(1 << 64) - 1] * 4, None),
    ("within a frame", [0, WHOLE[1] + 4, *WHOLE[2:]], None),
    ("wrong lengths", WHOLE, [1, 2, 3, 4]),
    ("lengths of 0", WHOLE, [0, 0, 0, 0]),
    ("too few lengths", WHOLE, [len(A)]),
    ("no lengths", WHOLE, []),
    ("too short", WHOLE[:2], None),
    ("too long", [*WHOLE, 1 << 20], None),
]


@pytest.mark.parametrize("total", [False, True])
@pytest.mark.parametrize("basic", [[], [0, 0, 0, 0], WHOLE])
@pytest.mark.parametrize(("table", "lengths"), [case[1:] for case in EXTENDED], ids=[case[0] for case in EXTENDED])
def test_extended_offset_tables(
    tmp_path: Path, table: list[int], lengths: list[int] | None, basic: list[int], total: bool
) -> None:
    lengths = [len(each) for each in (A, B, C, D)] if lengths is None else lengths
    elements: dict[str, Any] = {"ExtendedOffsetTable": struct.pack(f"<{len(table)}Q", *table)}
    if lengths:
        elements["ExtendedOffsetTableLengths"] = struct.pack(f"<{len(lengths)}Q", *lengths)
    if total:
        elements["EncapsulatedPixelDataValueTotalLength"] = sum(map(len, (A, B, C, D)))
    found = store(tmp_path / "a.dcm", value([A, B, C, D], basic), **elements)
    check(found, list(FRAMES), tmp_path)


def test_a_basic_table_counts_where_the_extended_one_lies(tmp_path: Path) -> None:
    elements = {"ExtendedOffsetTable": bytes(32), "ExtendedOffsetTableLengths": bytes(32)}
    items = [part for each in codestreams(UNCOMPRESSED) for part in halves(each)]
    found = store(tmp_path / "a.dcm", value(items, offsets(items)[::2]), UNCOMPRESSED, **elements)
    check(found, list(FRAMES), tmp_path)


@pytest.mark.parametrize("items", [[A], [EMPTY, A], [A, EMPTY], halves(A), [EMPTY, *halves(A), EMPTY]])
@pytest.mark.parametrize("table", [[], [0], [8], [0xFFFFFFFF]])
@pytest.mark.parametrize("declared", [1, None])
def test_single_frames(tmp_path: Path, items: list[bytes], table: list[int], declared: int | None) -> None:
    found = store(tmp_path / "a.dcm", value(items, table), NumberOfFrames=declared)
    assert np.array_equal(load_stored(*found).array, FRAMES[0])


@pytest.mark.parametrize("table", [[], WHOLE, [0, 0, 0, 0]])
@pytest.mark.parametrize("declared", [1, 2, 3])
def test_fewer_frames_declared_than_there_are(tmp_path: Path, declared: int, table: list[int]) -> None:
    found = store(tmp_path / "a.dcm", value([A, B, C, D], table), NumberOfFrames=declared)
    check(found, list(FRAMES[:declared]), tmp_path)


@pytest.mark.parametrize("table", [[], WHOLE, [0] * 4, [0] * 6, [*WHOLE, WHOLE[3] + 500, WHOLE[3] + 900]])
@pytest.mark.parametrize("declared", [6, 40])
def test_more_frames_declared_than_there_are(tmp_path: Path, declared: int, table: list[int]) -> None:
    found = store(tmp_path / "a.dcm", value([A, B, C, D], table), NumberOfFrames=declared)
    check(found, list(FRAMES), tmp_path)
    with pytest.raises(NotAvailable, match=f"frame 5 is missing: {declared} frames are declared, .* holds 4"):
        load_stored(*found, 5)
    with pytest.raises(NotAvailable, match="frame 6 is missing"):
        find_frames(*found, [6])


def test_an_empty_item_for_a_missing_frame(tmp_path: Path) -> None:
    """As many items as frames, one of them empty: its frame is missing, and the others keep their numbers."""
    items = [A, EMPTY, C, D]
    for number, table in enumerate(([], offsets(items))):
        found = store(tmp_path / f"{number}.dcm", value(items, table))
        assert [np.array_equal(load_stored(*found, each).array, FRAMES[each - 1]) for each in (1, 3, 4)] == [True] * 3
        with pytest.raises(NotAvailable, match="frame 2 is missing"):
            load_stored(*found, 2)
        with pytest.raises(NotAvailable, match="frame 2 is missing"):
            find_frames(*found, [2])


def test_a_value_without_a_basic_offset_table(tmp_path: Path) -> None:
    data = b"".join(map(item, [A, B, C, D])) + b"\xfe\xff\xdd\xe0\0\0\0\0"
    check(store(tmp_path / "a.dcm", data), list(FRAMES), tmp_path)
    found = store(tmp_path / "b.dcm", item(A) + b"\xfe\xff\xdd\xe0\0\0\0\0", NumberOfFrames=1)
    assert np.array_equal(load_stored(*found).array, FRAMES[0])
