"""The input and output of a network, checked against META.json."""

from dataclasses import dataclass
from typing import Any

from neurdicom.errors import Invalid
from neurdicom.workers.model.manifest import ModelManifest
from neurdicom.workers.model.session import DTYPES, Session, Tensor

#: Side in pixels of the trial image for a network of free size.
_TRIAL = 64


@dataclass(frozen=True, slots=True)
class Signature:
    """Call signature of a network.

    Attributes
    ----------
    input, output : str
        Names of its input, and of the output that is used.
    dtype : str
        Numpy's name of the input's type.
    channels : int
        1 or 3.
    size : tuple of int or None
        Spatial size of its input, ([depth,] height, width); None: any.
    """

    input: str
    output: str
    dtype: str
    channels: int
    size: tuple[int, ...] | None

    def trial_shape(self, manifest: ModelManifest) -> tuple[int, ...]:
        """Compute the shape of the image that the network is tried on at upload."""
        multiple = manifest.input.multiple
        side = -(-_TRIAL // multiple) * multiple
        return self.size or (side,) * (3 if manifest.is_volume else 2)


def signature_of(manifest: ModelManifest, session: Session) -> Signature:
    """Read how a network is called, and check that META.json fits.

    Raises
    ------
    Invalid
        They do not fit each other; `field` names the field of META.json, the message both.
    """
    spec = manifest.input
    tensor = _input(session, spec.name)
    if len(tensor.shape) != len(spec.layout):
        raise Invalid(
            f"the network's input {tensor} has {len(tensor.shape)} axes; the layout {spec.layout} has "
            f"{len(spec.layout)}",
            field="input.layout",
        )
    if any(isinstance(axis, int) and axis < 1 for axis in tensor.shape):
        raise Invalid(f"the network's input {tensor} has an axis of no length; it holds no image", field="input")
    axes = dict(zip(spec.layout, tensor.shape, strict=True))
    number = axes.get("N", 1)
    if isinstance(number, int) and number != 1:
        raise Invalid(
            f"the network's input {tensor} takes {number} images at a time; 1, or a free axis, is expected",
            field="input.layout",
        )
    return Signature(
        input=tensor.name,
        output=_output(session, manifest).name,
        dtype=DTYPES[tensor.type],
        channels=_channels(manifest, axes, tensor),
        size=_size(manifest, axes, tensor),
    )


def _input(session: Session, wanted: str | None) -> Tensor:
    found = "; ".join(map(str, session.inputs))
    if len(session.inputs) != 1:
        raise Invalid(f"the network has {len(session.inputs)} inputs ({found}); one is expected", field="input")
    tensor = session.inputs[0]
    if wanted is not None and wanted != tensor.name:
        raise Invalid(f"input.name is {wanted!r}; the network's input is {found}", field="input.name")
    if tensor.type not in DTYPES:
        raise Invalid(f"the network's input {found} is none of {', '.join(DTYPES)}", field="input")
    return tensor


def _output(session: Session, manifest: ModelManifest) -> Tensor:
    wanted, found = manifest.output.name, "; ".join(map(str, session.outputs))
    if wanted is None and len(session.outputs) > 1:
        raise Invalid(
            f"the network has {len(session.outputs)} outputs ({found}); output.name has to name one",
            field="output.name",
        )
    tensor = next((each for each in session.outputs if wanted in (None, each.name)), None)
    if tensor is None:
        raise Invalid(f"output.name is {wanted!r}; the network's outputs are {found}", field="output.name")
    if tensor.type not in DTYPES and tensor.type != "tensor(bool)":
        raise Invalid(f"the network's output {tensor} is no tensor of numbers", field="output.name")
    return tensor


def _channels(manifest: ModelManifest, axes: dict[str, Any], tensor: Tensor) -> int:
    fixed, wanted = axes.get("C", 1), manifest.input.channels
    if isinstance(fixed, int):
        if wanted is not None and wanted != fixed:
            raise Invalid(
                f"input.channels is {wanted}; the network's input {tensor} has {fixed} "
                f"(layout {manifest.input.layout})",
                field="input.channels",
            )
        wanted = fixed
    if wanted not in (None, 1, 3):
        raise Invalid(
            f"the network's input {tensor} has {wanted} channels; 1 or 3 are expected", field="input.channels"
        )
    channels = wanted or 1
    how = manifest.input.normalisation
    for name, numbers in (("mean", how.mean), ("std", how.std)):
        if len(numbers) not in (1, channels):
            raise Invalid(
                f"input.normalisation.{name} has {len(numbers)} numbers; the network's input {tensor} has {channels} "
                "channels",
                field="input.normalisation",
            )
    return channels


def _size(manifest: ModelManifest, axes: dict[str, Any], tensor: Tensor) -> tuple[int, ...] | None:
    spatial = [axes[axis] for axis in "DHW" if axis in axes]
    wanted = manifest.input.size
    if wanted is None:
        if all(isinstance(each, int) for each in spatial):
            return tuple(spatial)
        if any(isinstance(each, int) for each in spatial):
            raise Invalid(
                f"input.size is missing; the network's input {tensor} has some fixed axes", field="input.size"
            )
        return None
    if any(isinstance(fixed, int) and fixed != each for fixed, each in zip(spatial, wanted, strict=True)):
        raise Invalid(
            f"input.size is {list(wanted)}; the network's input {tensor} has {spatial}, layout {manifest.input.layout}",
            field="input.size",
        )
    return wanted
