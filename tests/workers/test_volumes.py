"""Volumes: what native code and Python get of a series, what comes back, and what is left when something ends."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import orjson
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless

from neurdicom.errors import Invalid, NotAvailable, NotFound, PluginFailed
from neurdicom.workers.executor import Input, Task
from neurdicom.workers.pool import Program
from neurdicom.workers.pool_executor import PoolExecutor
from tests.support.pools import Pool
from tests.support.series import COLUMNS, ROWS, ct_slice, enhanced_ct, slice_pixels
from tests.support.volumes import ASIS, FRAME, VolumeRunner, inputs_of, samples


def test_slices_come_in_the_order_of_their_places(run: VolumeRunner, volume: Callable[..., Program]) -> None:
    """Whatever their numbers and the order in which they are named."""
    files = [ct_slice(n, z=-2.5 * n) for n in (3, 1, 4, 2, 5)]
    reply = run(volume(input="modality"), files)
    expected = np.stack([slice_pixels(n) * 2.0 - 1024 for n in (5, 4, 3, 2, 1)])
    np.testing.assert_array_equal(samples(reply), expected)
    assert (reply.meta["shape"], reply.meta["stack"]) == ([5, ROWS, COLUMNS], True)
    image = reply.meta["json"]["_image"]
    assert image == {
        "modality": "CT",
        "series": "1.2.3.4",
        "spacing": [0.5, 0.75, 2.5],
        "uniform": True,
        "thickness": 2.5,
        "orientation": [1, 0, 0, 0, 1, 0],
        "origin": [-10, 20, -12.5],
        "positions": [[-10, 20, -2.5 * n] for n in (5, 4, 3, 2, 1)],
        "instances": [f"1.2.3.4.{n}" for n in (5, 4, 3, 2, 1)],
        "frames": [1] * 5,
        "input": "modality",
        "rescale": [[2, -1024]],
        "photometric_interpretation": "MONOCHROME2",
        "bits_stored": 16,
        "signed": True,
        "window": [40, 400],
    }


def test_each_slice_is_rescaled_by_its_own_line(run: VolumeRunner, volume: Callable[..., Program]) -> None:
    files = [ct_slice(n, RescaleSlope=n, RescaleIntercept=-n) for n in (1, 2, 3)]
    reply = run(volume(input="modality"), files)
    np.testing.assert_array_equal(samples(reply), np.stack([slice_pixels(n) * float(n) - n for n in (1, 2, 3)]))
    assert reply.meta["json"]["_image"]["rescale"] == [[1, -1], [2, -2], [3, -3]]
    stored = run(volume(), files)
    np.testing.assert_array_equal(samples(stored), np.stack([slice_pixels(n) for n in (1, 2, 3)]))


def test_a_lookup_table_has_no_line(run: VolumeRunner, volume: Callable[..., Program]) -> None:
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [4, 90, 16], np.array([7, 5, 3, 1], "<u2").tobytes()
    table["LUTDescriptor"].VR, table["LUTData"].VR = "SS", "OW"
    files = [ct_slice(n, RescaleSlope=None, RescaleIntercept=None, ModalityLUTSequence=[table]) for n in (1, 2)]
    reply = run(volume(input="modality"), files)
    assert reply.meta["json"]["_image"]["rescale"] is None
    assert samples(reply)[0, 0, 0] == 7  # stored 90
    assert samples(reply)[1, 0, 0] == 1


def test_every_transfer_syntax_has_its_place(run: VolumeRunner, volume: Callable[..., Program]) -> None:
    files = [ct_slice(1), ct_slice(2, syntax=RLELossless), ct_slice(3)]
    files[2].file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    reply = run(volume(), files)
    np.testing.assert_array_equal(samples(reply), np.stack([slice_pixels(n) for n in (1, 2, 3)]))


def test_frames_are_slices(run: VolumeRunner, volume: Callable[..., Program]) -> None:
    """Order an enhanced instance's frames by their places, each with its own line."""
    reply = run(volume(input="modality"), [enhanced_ct([3.0, 9.0, 0.0, 6.0])])
    np.testing.assert_array_equal(samples(reply), np.stack([slice_pixels(n) + float(n) for n in (3, 1, 4, 2)]))
    image = reply.meta["json"]["_image"]
    assert (image["frames"], image["spacing"], image["uniform"]) == ([3, 1, 4, 2], [0.5, 0.75, 3.0], True)
    assert (image["instances"], image["origin"]) == (["1.2.9.1"] * 4, [-10, 20, 0])
    assert image["rescale"] == [[1, 3], [1, 1], [1, 4], [1, 2]]
    assert (image["modality"], image["window"]) == ("CT", [40, 400])


def test_frames_without_a_place_keep_their_order(run: VolumeRunner, volume: Callable[..., Program]) -> None:
    pixels = np.stack([slice_pixels(n) for n in (4, 2, 9)])
    ds = ct_slice(1, pixels=pixels, NumberOfFrames=3, ImagePositionPatient=None, ImageOrientationPatient=None)
    reply = run(volume(), [ds])
    np.testing.assert_array_equal(samples(reply), pixels)
    image = reply.meta["json"]["_image"]
    assert (image["spacing"], image["positions"], image["origin"]) == ([0.5, 0.75, None], None, None)
    # So does a run of frames of one plane.
    reply = run(volume(), [ct_slice(1, pixels=pixels, NumberOfFrames=3)])
    np.testing.assert_array_equal(samples(reply), pixels)
    assert reply.meta["json"]["_image"]["spacing"] == [0.5, 0.75, None]


def test_without_geometry_the_instance_number_counts(run: VolumeRunner, volume: Callable[..., Program]) -> None:
    files = [ct_slice(n, ImagePositionPatient=None) for n in (3, 1, 2)]
    np.testing.assert_array_equal(samples(run(volume(), files)), np.stack([slice_pixels(n) for n in (1, 2, 3)]))


def test_one_slice_is_a_volume_of_one(run: VolumeRunner, volume: Callable[..., Program]) -> None:
    reply = run(volume(), [ct_slice(1)])
    assert (reply.meta["shape"], reply.meta["stack"]) == ([1, ROWS, COLUMNS], True)


def test_gaps_are_told(run: VolumeRunner, volume: Callable[..., Program]) -> None:
    image = run(volume(), [ct_slice(n) for n in (1, 2, 3, 5, 6)]).meta["json"]["_image"]
    assert (image["spacing"], image["uniform"]) == ([0.5, 0.75, 2.5], False)
    assert [place[2] for place in image["positions"]] == [2.5, 5, 7.5, 12.5, 15]


WRONG: list[tuple[list[Dataset], str]] = [
    ([ct_slice(1), ct_slice(2), ct_slice(3, pixels=slice_pixels(3, 4, 4), Rows=4, Columns=4)],
     r"2 have 7 x 5 pixels; instance 1\.2\.3\.4\.3 has 4 x 4 pixels"),
    ([ct_slice(1), ct_slice(2), ct_slice(3, ImageOrientationPatient=[0, 1, 0, 0, 0, -1])],
     r"instance 1\.2\.3\.4\.3 has another orientation"),
    ([ct_slice(1), ct_slice(2), ct_slice(3), ct_slice(4, z=5.0)],
     r"1 of 4 lie where another one does, such as instance 1\.2\.3\.4\.2, instance 1\.2\.3\.4\.4 at"),
    ([ct_slice(1), ct_slice(2), ct_slice(3, ImagePositionPatient=None)], r"1\.2\.3\.4\.3 has no Image Position"),
    ([enhanced_ct([0.0, 3.0, 0.0, 3.0])], r"2 of 4 lie where .* instance 1\.2\.9\.1, instance 1\.2\.9\.1 frame 3"),
    ([ct_slice(1, NumberOfFrames=1 << 15, BitsAllocated=8, BitsStored=8)], r"instance 1\.2\.3\.4\.1: .* 32768 frames"),
]  # fmt: skip


@pytest.mark.parametrize(("files", "says"), WRONG)
def test_what_is_no_volume(run: VolumeRunner, volume: Callable[..., Program], files: list[Dataset], says: str) -> None:
    with pytest.raises(Invalid, match=says):
        run(volume(), files)


def test_what_cannot_be_read_is_named(run: VolumeRunner, volume: Callable[..., Program]) -> None:
    program = volume()

    def changed(change: Callable[[Path], object]) -> None:
        inputs = inputs_of(run.folder, [ct_slice(1), ct_slice(2)])
        change(Path(inputs[1].path))
        run._shared.run(run.executor.run(Task(program, inputs, volume=True)))

    with pytest.raises(NotAvailable, match=r"instance 1\.2\.3\.4\.2: the pixel data ends"):
        changed(lambda path: path.write_bytes(path.read_bytes()[:-9]))
    with pytest.raises(NotFound, match=r"instance 1\.2\.3\.4\.2"):
        changed(Path.unlink)
    broken = ct_slice(2, syntax=RLELossless)
    broken.PixelData = broken.PixelData[:70] + bytes(len(broken.PixelData) - 70)
    with pytest.raises(NotAvailable, match=r"instance 1\.2\.3\.4\.2"):
        run(volume(), [ct_slice(1), broken])
    with pytest.raises(NotAvailable, match=r"1\.2\.3\.4\.2: this instance has no pixel data"):
        run(volume(), [ct_slice(1), ct_slice(2, PixelData=None)])


RESULTS = [
    ("VOLUME { for (int i = 0; i < w * h * d; ++i) v[i] += 1; return v; }", [3, ROWS, COLUMNS], True),
    (
        "VOLUME { for (int z = 1; z < d; ++z) for (int i = 0; i < w * h; ++i) v[i] += v[z * w * h + i]; return v; }"
        "void ResultDepth(Plugin* p, int* depth) { *depth = 1; }",
        [ROWS, COLUMNS],
        None,
    ),
    (
        "VOLUME { double* made = calloc(w * 2 * d, sizeof *made); made[0] = d; return made; }"
        "void FreeResult(Plugin* p, double* made) { free(made); }"
        "void ResultShape(Plugin* p, int* w, int* h, int* c) { *h = 2; }",
        [3, 2, COLUMNS],
        True,
    ),
    (
        "VOLUME { return calloc(w * h * 2 * 3, sizeof(double)); } void FreeResult(Plugin* p, double* m) { free(m); }"
        "void ResultShape(Plugin* p, int* w, int* h, int* c) { *c = 3; }"
        "void ResultDepth(Plugin* p, int* depth) { *depth -= 1; }",
        [2, ROWS, COLUMNS, 3],
        True,
    ),
]


@pytest.mark.parametrize(("source", "shape", "stack"), RESULTS)
def test_shapes_of_results(
    run: VolumeRunner, volume: Callable[..., Program], source: str, shape: list[int], stack: bool | None
) -> None:
    program = volume(FRAME + source)
    files = [ct_slice(n) for n in (1, 2, 3)]
    reply = run(program, files)
    assert (reply.meta["shape"], reply.meta.get("stack")) == (shape, stack)
    assert np.load(io.BytesIO(bytes(run(program, files, "npy").body))).shape == tuple(shape)
    assert run(program, files, "f32").meta["shape"] == shape
    for format in ("png", "jpeg"):
        assert (
            run(program, files, format, frame=min(2, len(shape) - 1)).meta["shape"][:2]
            == shape[-2 - (len(shape) == 4) :][:2]
        )
    if stack:
        with pytest.raises(Invalid, match=r"frame is 9; the plugin's result has"):
            run(program, files, "png", frame=9)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("VOLUME { return v; } void ResultDepth(Plugin* p, int* depth) { *depth = 0; }", "must be positive"),
        ("VOLUME { return v; } void ResultDepth(Plugin* p, int* depth) { *depth = 4; }", "the result is in the volume"),
        ("VOLUME { return 0; }", "ProcessVolume returned NULL"),
        ('VOLUME { return 0; } const char* LastError(Plugin* p) { return "too flat"; }', "too flat"),
    ],
)
def test_failures_are_told(run: VolumeRunner, volume: Callable[..., Program], body: str, says: str) -> None:
    with pytest.raises(PluginFailed, match=says):
        run(volume(FRAME + body), [ct_slice(1), ct_slice(2), ct_slice(3)])


def test_the_volume_is_aligned_and_private(run: VolumeRunner, volume: Callable[..., Program]) -> None:
    source = FRAME + "VOLUME { v[1] = v[0]; v[0] = (size_t)v % 64; return v; }"
    program = volume(source)
    files = [ct_slice(1), ct_slice(2)]
    for _ in range(2):  # what one call wrote is not there in the next
        assert samples(run(program, files))[0, 0, :2].tolist() == [0, slice_pixels(1)[0, 0]]


def test_a_python_plugin_gets_the_datasets(run: VolumeRunner, python: Callable[..., Program]) -> None:
    program = python(
        """
        import numpy as np
        class Plugin:
            def process(self, ds, how="", **kwargs):
                if how == "stack": return np.stack([one.pixel_array for one in ds])
                if how == "colour": return np.zeros((len(ds), 4, 4, 3))
                if how == "datasets": return ds
                return {"type": type(ds).__name__, "numbers": [int(one.InstanceNumber) for one in ds]}
        """,
        level="series",
    )
    files = [ct_slice(n) for n in (2, 1, 3)]
    assert orjson.loads(run(program, files).body) == {"type": "list", "numbers": [2, 1, 3]}
    reply = run(program, files, params={"how": "stack"})
    np.testing.assert_array_equal(samples(reply), np.stack([slice_pixels(n) for n in (2, 1, 3)]))
    assert reply.meta["stack"] is True
    assert run(program, files, "png", params={"how": "stack"}, frame=3).meta["shape"] == [ROWS, COLUMNS]
    assert run(program, files, "npy", params={"how": "colour"}).meta["shape"] == [3, 4, 4, 3]
    assert run(program, files, "png", params={"how": "colour"}).meta["shape"][:2] == [4, 4]
    assert run(program, files, params={"how": "datasets"}).meta["media_type"].startswith("multipart/related")
    one = run(program, [enhanced_ct([0.0, 1.0])])
    assert orjson.loads(one.body) == {"type": "list", "numbers": [1]}


def test_the_example(run: VolumeRunner, examples: Path) -> None:
    program = Program("native", str(examples / "volume/volume.so"), name="volume", level="series", input="modality")
    files = [ct_slice(n) for n in (1, 2, 3)]
    values = np.stack([slice_pixels(n) * 2.0 - 1024 for n in (1, 2, 3)])
    reply = run(program, files, params={"threshold": -700.0})
    np.testing.assert_array_equal(samples(reply), values.max(axis=0))
    count = int((values > -700).sum())
    assert reply.meta["json"] == {"samples": count, "volume_ml": pytest.approx(count * 0.5 * 0.75 * 2.5 / 1000)}


def test_geometry_for_single_images(shared: Pool, native: Callable[..., Program], tmp_path: Path) -> None:
    source = (
        FRAME
        + """
        double* Process(Plugin* p, double* img, int w, int h, const char* s) {
            free(text); text = strdup(s); return img; }
        const char* ResultJson(Plugin* p) { return text; }"""
    )
    executor = shared.run(_executor(shared))
    for ds, frame, position in (
        (ct_slice(2), 1, [-10, 20, 5]),
        (enhanced_ct([0.0, 7.5]), 2, [-10, 20, 7.5]),
    ):
        (one,) = inputs_of(tmp_path, [ds])
        edits = ({"field": "window_center", "value": [1.5]}, {"field": "window_width", "value": [3]})
        task = Task(native(source, geometry=True), (Input(one.instance, one.path, "", one.layout, frame, edits),))
        image = shared.run(executor.run(task)).meta["json"]["_image"]
        assert (image["origin"], image["positions"], image["frames"]) == (position, [position], [frame])
        assert (image["spacing"], image["instances"]) == ([0.5, 0.75, None], [one.instance])
        assert (image["modality"], image["series"], image["window"]) == ("CT", ds.SeriesInstanceUID, [1.5, 3])
        without = Task(native(source, digest="other"), (Input(one.instance, one.path, "", one.layout, frame),))
        assert shared.run(executor.run(without)).meta["json"] == {}


async def _executor(shared: Pool) -> PoolExecutor:
    return PoolExecutor(shared.pool)


def test_a_library_with_process_volume_only(shared: Pool, native: Callable[..., Program]) -> None:
    assert shared.run(shared.pool.probe(native(ASIS, level="series"))) == {"takes_volumes": True}
    with pytest.raises(PluginFailed, match=r'META.json must say "level": "series"'):
        shared.run(shared.pool.probe(native(ASIS, digest="other")))
