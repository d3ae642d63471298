"""META.json of a model: the network's input, and the meaning of its output."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any, Literal

import orjson

from neurdicom.errors import Invalid
from neurdicom.schema.validator import SchemaValidator
from neurdicom.workers.packages.meta import LIMITS, PackageMeta, check_meta, package_fields, parse_meta, plugin_schema

OutputKind = Literal["classification", "segmentation", "image"]
Activation = Literal["softmax", "sigmoid", "none"]

#: Spellings of z-score normalisation.
_Z_SCORE = ("z-score", "zscore", "z_score")


@dataclass(frozen=True, slots=True)
class Normalisation:
    """Affine normalisation of the values, the same for all channels or one for each.

    Attributes
    ----------
    kind : {"none", "mean", "range", "z-score"}
        Method.
    mean, std : tuple of float
        For "mean": (value - mean) / std, one number or one for each channel.
    low, high : float or None
        For "range": values that are mapped to the ends of `range`, and clipped; None: the image's own extremes.
    range : (float, float)
        For "range": the ends after normalisation.
    """

    kind: Literal["none", "mean", "range", "z-score"] = "none"
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    low: float | None = None
    high: float | None = None
    range: tuple[float, float] = (0.0, 1.0)


@dataclass(frozen=True, slots=True)
class InputSpec:
    """Input of the network: the fields of `input` in META.json, each in one form.

    Attributes
    ----------
    size : tuple of int or None
        (height, width) or (depth, height, width) in pixels; None: as the network fixes it, or any.
    window : (float, float), "dicom" or None
        Centre and width; "dicom": the image's own.
    """

    name: str | None = None
    layout: str = "NCHW"
    size: tuple[int, ...] | None = None
    multiple: int = 1
    channels: int | None = None
    values: Literal["modality", "stored"] = "modality"
    window: tuple[float, float] | Literal["dicom"] | None = None
    normalisation: Normalisation = field(default_factory=Normalisation)
    aspect: Literal["stretch", "pad"] = "stretch"
    pad_value: float | None = None
    interpolation: Literal["bilinear", "nearest"] = "bilinear"


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """Output of the network: the fields of `output` in META.json.

    Attributes
    ----------
    labels : tuple of Mapping
        One for each class: `label`, and the other attributes of a DICOM segment.
    background : bool or None
        Whether the first label is the background; None: see `postprocessing.has_background`.
    """

    kind: OutputKind
    name: str | None = None
    layout: str = "NCHW"
    activation: Activation = "none"
    labels: tuple[Mapping[str, Any], ...] = ()
    background: bool | None = None
    threshold: float | None = None
    resize: bool = True

    @property
    def names(self) -> list[str]:
        """Texts of the labels."""
        return [label["label"] for label in self.labels]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelManifest(PackageMeta):
    """META.json of a model, validated; its `guid` is `model_guid`, or else the name.

    Attributes
    ----------
    input : InputSpec
    output : OutputSpec
    file : str or None
        Path of the ONNX file in the archive, where META.json names it.
    """

    input: InputSpec
    output: OutputSpec
    file: str | None = None

    @property
    def is_volume(self) -> bool:
        """True if the network takes a whole series: its input has a depth axis."""
        return "D" in self.input.layout

    def to_api(self) -> dict[str, Any]:
        """Return the whole META.json as the API shows it, with defaults filled in."""
        return {**PackageMeta.to_api(self), "input": self.meta.get("input") or {}}


@cache
def schema() -> dict[str, Any]:
    """Load the JSON Schema (draft 2020-12) of a model's META.json."""
    text = resources.files(__package__).joinpath("model.schema.json").read_bytes()
    loaded: dict[str, Any] = orjson.loads(text)
    segment = plugin_schema()["$defs"]["segment"]["properties"]
    described = loaded["$defs"]["label"]["anyOf"][1]
    described["properties"] = {key: value for key, value in segment.items() if key != "number"}
    loaded["$defs"]["code"] = plugin_schema()["$defs"]["code"]
    loaded["properties"] |= {name: plugin_schema()["properties"][name] for name in LIMITS}
    return loaded


@cache
def _validator() -> Any:
    return SchemaValidator(schema())


def parse_model_manifest(data: bytes) -> ModelManifest:
    """Parse and validate the bytes of a META.json.

    Raises
    ------
    Invalid
        They are not JSON in UTF-8, or do not meet the schema; `field` is the dotted path of the fault.
    """
    meta = parse_meta(data)
    check_meta(meta, _validator())
    given = _present(meta)
    guid = given.get("model_guid")
    if guid is None:
        guid = given["name"]
        if not SchemaValidator(schema()["$defs"]["id"]).is_valid(guid):
            raise Invalid(
                f"META.json: the name {guid!r} can't be the model's id in a URL; give it a model_guid",
                field="model_guid",
            )
    spec = _input_of(_present(given.get("input", {})))
    return ModelManifest(
        **package_fields(meta),
        guid=guid,
        input=spec,
        output=_output_of(_present(given["output"]), spec),
        file=given.get("file"),
    )


def _present(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}


def _input_of(given: Mapping[str, Any]) -> InputSpec:
    layout = _layout(given, "input", "NCHW")
    plain = {key: given[key] for key in InputSpec.__dataclass_fields__ if key in given}
    window = given.get("window")
    if isinstance(window, Mapping):
        window = (window["center"], window["width"])
    if isinstance(window, list):
        if window[1] <= 0:
            raise Invalid(
                f"META.json: input.window: the width is {window[1]}; more than 0 is expected", field="input.window"
            )
        window = (window[0], window[1])
    if window == "dicom" and "D" in layout:
        raise Invalid(
            "META.json: input.window is 'dicom', and each slice has its own; two numbers are expected for a volume",
            field="input.window",
        )
    return InputSpec(
        **plain
        | {
            "layout": layout,
            "size": _size_of(given.get("size"), layout),
            "window": window,
            "normalisation": _normalisation_of(given),
        }
    )


def _layout(given: Mapping[str, Any], where: str, default: str) -> str:
    layout: str = given.get("layout", default)
    if len(set(layout)) != len(layout):
        raise Invalid(f"META.json: {where}.layout: {layout} has an axis twice", field=f"{where}.layout")
    if where == "input" and not {"H", "W"} <= set(layout):
        raise Invalid(f"META.json: input.layout: {layout} has no H and W", field="input.layout")
    return layout


def _size_of(size: Any, layout: str) -> tuple[int, ...] | None:
    axes = 3 if "D" in layout else 2
    if size is None:
        return None
    if isinstance(size, int):
        return (size,) * axes
    if isinstance(size, Mapping):
        size = [size[key] for key in ("depth", "height", "width") if key in size]
    if len(size) != axes:
        raise Invalid(
            f"META.json: input.size has {len(size)} numbers; {axes} are expected with the layout {layout}",
            field="input.size",
        )
    return tuple(size)


def _normalisation_of(given: Mapping[str, Any]) -> Normalisation:
    key = "normalization" if "normalization" in given else "normalisation"
    value, where = given.get(key, "none"), f"input.{key}"
    if isinstance(value, str):
        value = {"type": value}
    if "mean" in value:
        mean, std = _numbers(value["mean"]), _numbers(value["std"])
        if 0 in std or min(std) < 0:
            raise Invalid(f"META.json: {where}.std is {value['std']}; more than 0 is expected", field=f"{where}.std")
        return Normalisation("mean", mean, std)
    kind = value.get("type", "range")
    if kind == "none":
        return Normalisation()
    if kind in _Z_SCORE:
        return Normalisation("z-score")
    low, high = value.get("min"), value.get("max")
    if low is not None and low >= high:
        raise Invalid(f"META.json: {where}: min is {low}; less than max, {high}, is expected", field=f"{where}.min")
    first, last = value.get("range", (0.0, 1.0))
    return Normalisation("range", low=low, high=high, range=(first, last))


def _numbers(value: Any) -> tuple[float, ...]:
    return tuple(value) if isinstance(value, list) else (value,)


def _output_of(given: Mapping[str, Any], spec: InputSpec) -> OutputSpec:
    plain = {key: given[key] for key in OutputSpec.__dataclass_fields__ if key in given}
    labels = given.get("labels", [])
    if isinstance(labels, Mapping):
        missing = [number for number in range(len(labels)) if str(number) not in labels]
        if missing:
            raise Invalid(
                f"META.json: output.labels has {len(labels)} classes, and none with the number {missing[0]}",
                field="output.labels",
            )
        labels = [labels[str(number)] for number in range(len(labels))]
    described = tuple({"label": label} if isinstance(label, str) else label for label in labels)
    names = [label["label"] for label in described]
    twice = next((name for name in names if names.count(name) > 1), None) if len(names) <= 1000 else None
    if twice is not None:
        raise Invalid(f"META.json: output.labels has {twice!r} twice", field="output.labels")
    return OutputSpec(**plain | {"labels": described, "layout": _layout(given, "output", spec.layout)})
