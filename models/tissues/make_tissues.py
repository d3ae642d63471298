"""Make tissues.onnx: `python models/tissues/make_tissues.py`. Needs numpy, scikit-learn and onnx.

The network smooths a CT slice at two scales, bends the values at the borders between tissues (a convolution of 5 x 5
and ReLU), and tells four classes from that (a convolution of 1 x 1). The first layer is given; the second is fitted by
logistic regression on phantoms whose tissues are known and whose noise is that of a low-dose scan. All is drawn
from one seed, so the same weights come out each time, up to the rounding of the fit.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.linear_model import LogisticRegression

Array = npt.NDArray[np.float64]

CLASSES = ("Air", "Fat", "Soft tissue", "Bone")

#: Hounsfield units of each class in the phantoms: mean, and spread from one structure to the next.
TISSUES = ((-1000, 10), (-100, 12), (45, 15), (450, 150))
LUNG = (-820, 40)

#: Where the values bend, in Hounsfield units.
KNOTS = (-1000, -500, -180, -100, -30, 60, 150, 300)

#: Standard deviations of the smoothing, in pixels.
SCALES = (0.6, 1.2)

UNIT = 1000.0
SIZE = 96


def kernel(sigma: float) -> Array:
    """Make a Gaussian of 5 x 5, its sum being 1."""
    weights = np.exp(-(np.arange(-2, 3) ** 2) / (2 * sigma**2))
    square = np.outer(weights, weights)
    return np.asarray(square / square.sum())


def phantom(random: np.random.Generator) -> tuple[Array, npt.NDArray[np.int64]]:
    """Make a slice of a body: its values in Hounsfield units, and its classes."""
    rows, columns = np.mgrid[:SIZE, :SIZE] / SIZE - 0.5

    def ellipse(row: float, column: float, height: float, width: float) -> npt.NDArray[np.bool_]:
        return np.asarray(((rows - row) / height) ** 2 + ((columns - column) / width) ** 2 <= 1)

    values, classes = np.full((SIZE, SIZE), -1000.0), np.zeros((SIZE, SIZE), "i8")

    def fill(where: npt.NDArray[np.bool_], kind: int, tissue: tuple[float, float] | None = None) -> None:
        mean, spread = tissue or TISSUES[kind]
        values[where], classes[where] = random.normal(mean, spread), kind

    height, width = random.uniform(0.3, 0.45, 2)
    fill(ellipse(0, 0, height, width), 1)
    rim = random.uniform(0.02, 0.08)
    fill(ellipse(0, 0, height - rim, width - rim), 2)
    for _ in range(6):
        place, size = random.uniform(-0.2, 0.2, 2), random.uniform(0.03, 0.09, 2)
        kind = int(random.integers(0, 4))
        inside = ellipse(*place, *size) & ellipse(0, 0, height - rim, width - rim)
        fill(inside, kind, LUNG if kind == 0 else None)
        if kind == 3:  # marrow within the bone
            fill(inside & ellipse(*place, *(size / 2)), 2)
    return smooth(values, kernel(0.5)) + random.normal(0, random.uniform(20, 80), values.shape), classes


def smooth(values: Array, weights: Array) -> Array:
    """Correlate with a kernel; the edge's values go on beyond it."""
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(values, 2, mode="edge"), (5, 5))
    return np.asarray(np.einsum("rcij,ij->rc", windows, weights))


def features(values: Array) -> Array:
    """Compute what the first layer gives: shape (rows, columns, scales * knots)."""
    smoothed = [smooth(values / UNIT, kernel(sigma)) for sigma in SCALES]
    return np.stack([np.maximum(each - knot / UNIT, 0) for each in smoothed for knot in KNOTS], -1)


def fit(seed: int = 20240501, phantoms: int = 12) -> tuple[Array, Array]:
    """Weights (classes, features) and biases (classes) of the second layer."""
    random = np.random.default_rng(seed)
    samples, classes = [], []
    for _ in range(phantoms):
        values, truth = phantom(random)
        chosen = random.integers(0, SIZE * SIZE, 1500)
        samples.append(features(values).reshape(SIZE * SIZE, -1)[chosen])
        classes.append(truth.reshape(-1)[chosen])
    regression = LogisticRegression(C=1000.0, solver="newton-cholesky", tol=1e-8)
    regression.fit(np.concatenate(samples), np.concatenate(classes))
    return np.asarray(regression.coef_), np.asarray(regression.intercept_)


def make() -> onnx.ModelProto:
    """Build the network."""
    second, bias = fit()
    first = np.stack([kernel(sigma) for sigma in SCALES for _ in KNOTS])[:, None]
    weights = {
        "smoothing.weight": first.astype("f4"),
        "smoothing.bias": np.tile([-knot / UNIT for knot in KNOTS], len(SCALES)).astype("f4"),
        "classes.weight": second[:, :, None, None].astype("f4"),
        "classes.bias": bias.astype("f4"),
        "edge": np.array([0, 0, 2, 2, 0, 0, 2, 2], "i8"),
    }
    nodes = [
        helper.make_node("Pad", ["hounsfield", "edge"], ["padded"], "edge", mode="edge"),
        helper.make_node("Conv", ["padded", "smoothing.weight", "smoothing.bias"], ["smoothed"], "smoothing"),
        helper.make_node("Relu", ["smoothed"], ["bent"], "bending"),
        helper.make_node("Conv", ["bent", "classes.weight", "classes.bias"], ["scores"], "classes"),
    ]
    axes = ["rows", "columns"]
    graph = helper.make_graph(
        nodes,
        "tissues",
        [helper.make_tensor_value_info("hounsfield", TensorProto.FLOAT, [1, 1, *axes])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, len(CLASSES), *axes])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(
        graph, producer_name="neurdicom", ir_version=8, opset_imports=[helper.make_opsetid("", 17)]
    )
    onnx.checker.check_model(model, full_check=True)
    return model


if __name__ == "__main__":
    path = Path(__file__).with_name("tissues.onnx")
    onnx.save_model(make(), path)
    print(f"{path.name}: {path.stat().st_size} bytes")
