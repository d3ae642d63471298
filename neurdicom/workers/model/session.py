"""A network in onnxruntime. The only module that imports it; worker processes only.

The runtime's own pools of threads and of memory are switched off: there are as many threads as the program may have,
they don't spin while they wait, and memory that a run no longer needs is freed, so that the worker's limit counts what
is used.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

from neurdicom.errors import NotInstalled, PluginFailed
from neurdicom.installation import how_to_install

try:
    import onnxruntime
except ImportError as error:
    raise NotInstalled(
        f"models need onnxruntime, which is not installed on this server; {how_to_install('models')}"
    ) from error

Array = npt.NDArray[Any]
T = TypeVar("T")

#: Supported types of tensors: onnxruntime's names, to numpy's.
DTYPES: Final = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(uint8)": "uint8",
    "tensor(int8)": "int8",
    "tensor(uint16)": "uint16",
    "tensor(int16)": "int16",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
}

_ONLY_ERRORS: Final = 4
_LONGEST: Final = 600


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or an output of a network.

    Attributes
    ----------
    type : str
        As onnxruntime names it, such as `tensor(float)`.
    shape : tuple
        Numbers, and the names of free axes or None.
    """

    name: str
    type: str
    shape: tuple[int | str | None, ...]

    def __str__(self) -> str:
        """Format the tensor, such as `x: tensor(float) [1, 3, height, width]`."""
        axes = ", ".join("?" if axis is None else str(axis) for axis in self.shape)
        return f"{self.name!r}: {self.type} [{axes}]"

    def to_api(self) -> dict[str, Any]:
        """Return the tensor as the API shows it."""
        return {"name": self.name, "type": self.type, "shape": list(self.shape)}


class Session:
    """Network loaded in onnxruntime.

    Parameters
    ----------
    network : Path or bytes
        The ONNX file, or its bytes; with bytes, external data lie in `folder`.
    folder : Path
        The model's folder; it does not appear in messages.
    threads : int
        Most threads of one run.
    optimise : bool
        Let onnxruntime fuse and rewrite layers, which renames some of them.

    Raises
    ------
    PluginFailed
        The network can't be loaded; the message is onnxruntime's, and names the layer.
    MemoryError
        It needs more memory than the worker may have.
    """

    def __init__(self, network: Path | bytes, folder: Path, *, threads: int = 1, optimise: bool = True) -> None:
        self._folder = folder
        onnxruntime.disable_telemetry_events()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = max(1, threads)
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.enable_cpu_mem_arena = False
        options.enable_mem_pattern = False
        options.log_severity_level = _ONLY_ERRORS
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        if isinstance(network, bytes):
            options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
        levels = onnxruntime.GraphOptimizationLevel
        options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimise else levels.ORT_DISABLE_ALL
        source = network if isinstance(network, bytes) else str(network)
        self._session = self._guarded(
            lambda: onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        )
        self._run_options = onnxruntime.RunOptions()
        self._run_options.log_severity_level = _ONLY_ERRORS
        self.inputs = tuple(_tensor(each) for each in self._session.get_inputs())
        self.outputs = tuple(_tensor(each) for each in self._session.get_outputs())

    def run(self, name: str, array: Array, output: str) -> Array:
        """Run the network on one input, for one output.

        Parameters
        ----------
        name : str
            Name of the input.
        array : ndarray
            Its value, in the shape and dtype that the network takes.
        output : str
            Name of the output.

        Returns
        -------
        ndarray
            The output, of integers, booleans or floats, in the shape that the network gives.

        Raises
        ------
        PluginFailed
            A layer failed, and is named; or the output is no tensor of numbers.
        MemoryError
            The run needs more memory than the worker may have.
        """
        (found,) = self._guarded(lambda: self._session.run([output], {name: array}, self._run_options))
        if not isinstance(found, np.ndarray) or found.dtype.kind not in "biuf":
            kind = f"an array of {found.dtype}" if isinstance(found, np.ndarray) else type(found).__name__
            raise PluginFailed(f"the output {output!r} is {kind}; a tensor of numbers is expected")
        return found

    def _guarded(self, act: Callable[[], T]) -> T:
        """Call onnxruntime, whose exceptions have no common class, and translate them."""
        try:
            return act()
        except Exception as error:
            text = str(error)
            if "bad_alloc" in text or "Failed to allocate memory" in text or "bad allocation" in text:
                raise MemoryError(text) from None
            raise PluginFailed(_readable(text, self._folder)) from None


def _tensor(described: Any) -> Tensor:
    return Tensor(described.name, described.type, tuple(described.shape))


def _readable(text: str, folder: Path) -> str:
    """Strip error numbers, source lines and this server's paths from onnxruntime's message."""
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", text.strip())
    text = re.sub(r"^Load model from \S.*? failed: ?", "", text)
    text = re.sub(r"/onnxruntime_src/\S+ [^\n]*?\) (?=[A-Z])", "", text)
    text = text.replace(f"{folder}/", "").replace(str(folder), "the model's folder")
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."
