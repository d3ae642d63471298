"""Agreement of by_model with onnx's reference evaluator, and with pre- and postprocessing written out again."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pydicom
import pytest
from onnx import TensorProto
from onnx.reference import ReferenceEvaluator
from pydicom.data import get_testdata_file
from pydicom.pixels import apply_color_lut

from tests.support.images import PIXELS
from tests.support.networks import classifier, convolution, identity, network, node, package
from tests.support.plugin_site import Site

#: Grey with and without a modality LUT, compressed, several frames, palette, colour.
FILES = ["CT_small.dcm", "MR_small.dcm", "JPEG2000.dcm", "rtdose.dcm", "examples_palette.dcm", "examples_rgb_color.dcm"]

#: The test image after its modality LUT.
VALUES = PIXELS.astype("f4") * 2 - 10


def array_of(site: Site, id: str = "test.model", **params: Any) -> np.ndarray:
    answer = site.run_model(id, format="npy", **params)
    assert answer.status_code == 200, answer.text
    return np.load(io.BytesIO(answer.content))


def install(site: Site, model: onnx.ModelProto, **fields: Any) -> None:
    answer = site.install_model(package(model, **fields))
    assert answer.status_code in (200, 201), answer.text


def reference(model: onnx.ModelProto, array: np.ndarray) -> np.ndarray:
    return ReferenceEvaluator(model).run(None, {"x": array})[0]


def resized(array: np.ndarray, rows: int, columns: int, mode: str = "linear") -> np.ndarray:
    """Resize an array with ONNX's Resize, its pixels being squares (half_pixel)."""
    extra = {"nearest_mode": "round_prefer_ceil"} if mode == "nearest" else {}
    sizes = np.array([*array.shape[:-2], rows, columns], "i8")
    layer = node("Resize", "x   sizes", "y", mode=mode, coordinate_transformation_mode="half_pixel", **extra)
    del layer.input[:]
    layer.input.extend(["x", "", "", "sizes"])
    return reference(network([layer], weights={"sizes": sizes}, shape=(None,) * array.ndim), array)


def test_values_window_and_normalisation(site: Site) -> None:
    stored = PIXELS.astype("f4")
    low, high = VALUES.min(), VALUES.max()
    windowed = np.clip((VALUES - 20) / 50 + 0.5, 0, 1)
    cases: list[tuple[dict[str, Any], np.ndarray]] = [
        ({}, VALUES),
        ({"values": "stored"}, stored),
        ({"window": {"center": 20, "width": 50}}, windowed),
        ({"window": [20, 50], "normalisation": {"mean": 0.5, "std": [0.25]}}, (windowed - 0.5) / 0.25),
        ({"normalisation": {"mean": 5, "std": 2}}, (VALUES - 5) / 2),
        ({"normalization": "min-max"}, (VALUES - low) / (high - low)),
        ({"normalisation": {"min": 0, "max": 40}}, np.clip(VALUES / 40, 0, 1)),
        ({"normalisation": {"type": "range", "min": 0, "max": 40, "range": [-1, 1]}}, np.clip(VALUES / 20 - 1, -1, 1)),
        ({"normalization": {"type": "zscore"}}, (VALUES - VALUES.mean()) / VALUES.std()),
        ({"normalisation": {"type": "z-score"}}, (VALUES - VALUES.mean()) / VALUES.std()),
        ({"normalisation": None, "window": None}, VALUES),
    ]
    for spec, expected in cases:
        install(site, identity(), input={"layout": "NCHW", **spec}, output={"kind": "image"})
        np.testing.assert_allclose(array_of(site), expected, atol=2e-5, err_msg=str(spec))


def test_sizes_and_aspects(site: Site) -> None:
    for size, method in (((12, 20), "bilinear"), ((3, 5), "bilinear"), ((9, 4), "nearest")):
        spec: dict[str, Any] = {"size": [*size], "interpolation": method}
        install(site, identity(), input=spec, output={"kind": "image", "resize": False})
        mode = {"bilinear": "linear"}.get(method, method)
        expected = resized(VALUES[None, None], *size, mode)[0, 0]
        np.testing.assert_allclose(array_of(site), expected, atol=1e-4, err_msg=str(spec))
    # 6 x 8 pixels fit into 16 x 16 as 12 x 16, with two rows above and two below.
    spec = {"size": 16, "aspect": "pad", "pad_value": -100}
    install(site, identity(), input=spec, output={"kind": "image", "resize": False})
    found = array_of(site)
    np.testing.assert_allclose(found[2:14], resized(VALUES[None, None], 12, 16)[0, 0], atol=1e-4)
    assert (found[:2] == -100).all() and (found[14:] == -100).all()
    install(site, identity(), input={"multiple": 10}, output={"kind": "image", "resize": False})
    found = array_of(site)
    assert found.shape == (10, 10)
    np.testing.assert_array_equal(found[2:8, 1:9], VALUES)
    assert (found[:2] == VALUES.min()).all()


def test_what_comes_back_has_the_size_of_the_image(site: Site) -> None:
    for spec in ({"size": [12, 16]}, {"size": 24, "aspect": "pad"}, {"multiple": 16}, {"size": [7, 9]}):
        install(site, identity(), input=spec, output={"kind": "image"})
        found = array_of(site)
        assert found.shape == PIXELS.shape
        inner = (slice(1, -1), slice(1, -1))
        np.testing.assert_allclose(found[inner], VALUES[inner], atol=3, err_msg=str(spec))
        labels = network([node("Greater", "x limit", "g"), node("Cast", "g", "y", to=TensorProto.UINT8)],
                         weights={"limit": np.array(30, "f4")}, out=TensorProto.UINT8)  # fmt: skip
        install(
            site,
            labels,
            input={**spec, "interpolation": "nearest"},
            output={"kind": "segmentation", "labels": ["no", "yes"]},
        )
        agreement = (array_of(site) == (VALUES > 30)).mean()
        assert agreement == 1 if spec["size" if "size" in spec else "multiple"] != [7, 9] else agreement > 0.8


def test_layouts_channels_and_types(site: Site) -> None:
    """The same weights, whatever the axes' order and the type of the input."""
    made = convolution(2, channels=3, seed=5)
    expected = reference(made, np.repeat(VALUES[None, None], 3, 1)).transpose(0, 2, 3, 1)[0]
    install(site, made, input={"channels": 3}, output={"kind": "image"})
    np.testing.assert_allclose(array_of(site), expected, rtol=1e-4, atol=1e-3)
    last = convolution(2, channels=3, seed=5, shape=(None, None, None, 3))
    last.graph.node[0].input[0], last.graph.node[0].output[0] = "first", "map"
    last.graph.node.insert(0, node("Transpose", "x", "first", perm=[0, 3, 1, 2]))
    last.graph.node.append(node("Transpose", "map", "y", perm=[0, 2, 3, 1]))
    install(site, last, input={"layout": "NHWC"}, output={"kind": "image"})
    np.testing.assert_allclose(array_of(site), expected, rtol=1e-4, atol=1e-3)
    for layout in ("HW", "CHW", "WH", "NHW"):
        install(site, identity(shape=(None,) * len(layout)), input={"layout": layout}, output={"kind": "image"})
        np.testing.assert_array_equal(array_of(site), VALUES, err_msg=layout)
    for kind, cast in ((TensorProto.FLOAT16, "f2"), (TensorProto.DOUBLE, "f8"), (TensorProto.INT16, "i2")):
        install(site, identity(kind=kind, out=kind), output={"kind": "image"})
        np.testing.assert_array_equal(array_of(site), VALUES.astype(cast).astype("f4"))
    bytes_ = TensorProto.UINT8
    install(site, identity(kind=bytes_, out=bytes_), output={"kind": "image"})
    np.testing.assert_array_equal(array_of(site), np.clip(VALUES, 0, 255))


def test_segmentations(site: Site) -> None:
    made = convolution(3, seed=1)
    scores = reference(made, VALUES[None, None])[0]
    shares = np.exp(scores - scores.max(0)) / np.exp(scores - scores.max(0)).sum(0)
    best = scores.argmax(0)
    labels = ["a", "b", "c"]
    install(site, made, output={"kind": "segmentation", "labels": labels})
    np.testing.assert_array_equal(array_of(site), best)
    install(site, made, output={"kind": "segmentation", "labels": labels, "activation": "softmax", "threshold": 0.9})
    np.testing.assert_array_equal(array_of(site), np.where(shares.max(0) >= 0.9, best, 0))
    np.testing.assert_array_equal(array_of(site, threshold=0), best)
    install(site, made, output={"kind": "segmentation", "labels": labels, "background": False})
    np.testing.assert_array_equal(array_of(site), best + 1)
    sigmoids = 1 / (1 + np.exp(-scores.astype("f8")))
    install(site, made, output={"kind": "segmentation", "labels": labels, "activation": "sigmoid"})
    np.testing.assert_array_equal(array_of(site), np.where(sigmoids.max(0) >= 0.5, sigmoids.argmax(0) + 1, 0))
    install(site, identity(), output={"kind": "segmentation", "labels": ["hot"], "threshold": 42})
    np.testing.assert_array_equal(array_of(site), VALUES >= 42)


def test_classifications(site: Site) -> None:
    made = classifier(3, seed=1)
    scores = reference(made, VALUES[None, None])[0].astype("f8")
    shares = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
    labels = ["a", "b", "c"]
    install(site, made, output={"kind": "classification", "labels": labels, "activation": "softmax"})
    found = site.run_model().json()
    np.testing.assert_allclose([found["probabilities"][name] for name in labels], shares, atol=1e-4)
    assert found["label"] == labels[int(shares.argmax())] == found["top"][0]["label"]
    assert "labels" not in found
    install(site, made, output={"kind": "classification", "activation": "sigmoid", "threshold": 0.25})
    found = site.run_model().json()
    sigmoids = 1 / (1 + np.exp(-scores))
    np.testing.assert_allclose([found["probabilities"][str(n)] for n in range(3)], sigmoids, atol=1e-4)
    assert set(found["labels"]) == {str(n) for n in range(3) if sigmoids[n] >= 0.25}
    assert site.run_model(threshold=1).json()["labels"] == [str(n) for n in range(3) if round(sigmoids[n], 7) >= 1]
    install(site, classifier(1), output={"kind": "classification", "labels": ["no", "yes"], "activation": "sigmoid"})
    found = site.run_model().json()["probabilities"]
    assert list(found) == ["no", "yes"]
    assert sum(found.values()) == pytest.approx(1)


def test_a_network_that_answers_not_a_number(site: Site) -> None:
    made = network([node("Sqrt", "x", "r"), node("ReduceMean", "r", "m", axes=[2, 3], keepdims=0)], outputs="m")
    install(site, made, output={"kind": "classification", "labels": ["mean"]})
    found = site.run_model().json()
    assert (found["label"], found["probabilities"]) == (None, {"mean": None})
    # A class of which the network knows nothing must not win; what it says nothing of at all is no background.
    two = [node("Sqrt", "x", "r"), node("Concat", "r x", "y", axis=1)]
    install(site, network(two), output={"kind": "segmentation", "labels": ["a", "b"]})
    np.testing.assert_array_equal(array_of(site), (VALUES < 0) | (VALUES > 1))
    none = network([node("Sub", "z x", "n"), node("Log", "n", "y")], weights={"z": np.full(1, -1e9, "f4")})
    install(site, none, output={"kind": "segmentation", "labels": ["a"]})
    answer = site.run_model()
    assert (answer.status_code, answer.json()["code"]) == (500, "plugin_failed"), answer.text
    assert "not a number" in answer.json()["detail"]


@pytest.mark.parametrize("name", FILES)
def test_real_files(site: Site, name: str) -> None:
    """Stored values of many kinds, with 3 channels asked for: grey repeated, colour as it is."""
    path = Path(str(get_testdata_file(name)))
    ds = pydicom.dcmread(path)
    site.client.post("/api/instances", content=path.read_bytes(), headers={"Content-Type": "application/dicom"})
    array = ds.pixel_array[0] if int(ds.get("NumberOfFrames") or 1) > 1 else ds.pixel_array
    if ds.PhotometricInterpretation == "PALETTE COLOR":
        array = apply_color_lut(array, ds) >> 8
    array = np.moveaxis(array, -1, 0) if array.ndim == 3 else np.repeat(array[None], 3, 0)
    spec = {"channels": 3, "values": "stored"}
    install(site, convolution(2, channels=3), input=spec, output={"kind": "image"})
    expected = np.moveaxis(reference(convolution(2, channels=3), array[None].astype("f4"))[0], 0, -1)
    found = array_of(site, instance=ds.SOPInstanceUID)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-2 * max(1, np.abs(expected).max() / 100))
    assert site.client.delete(f"/api/instances/{ds.SOPInstanceUID}").status_code == 204


def test_an_instance_without_pixels_cannot_be_given_to_a_model(site: Site) -> None:
    path = Path(str(get_testdata_file("rtplan.dcm")))
    uid = pydicom.dcmread(path).SOPInstanceUID
    site.client.post("/api/instances", content=path.read_bytes(), headers={"Content-Type": "application/dicom"})
    install(site, convolution())
    assert site.run_model(instance=uid).status_code == 406
    assert site.client.delete(f"/api/instances/{uid}").status_code == 204
