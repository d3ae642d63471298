"""Loaders, one for each kind of program that a worker process runs."""

import gc
import importlib
import importlib.util
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import orjson

from neurdicom.errors import PluginFailed
from neurdicom.pixels.decode.pydicom_decoder import register_codecs
from neurdicom.workers import limits, protocol
from neurdicom.workers.loaders import native, results
from neurdicom.workers.loaders.results import Answer
from neurdicom.workers.model.model_zip import network_files
from neurdicom.workers.program import Program
from neurdicom.workers.shared_memory import map_doubles

#: Packages that a plugin shares with us, even where its folder has a module of that name.
_OURS: Final = frozenset({"neurdicom", "numpy", "PIL", "pydicom", "orjson", "imagecodecs"})


class Loaded(ABC):
    """Program loaded in this process, ready for calls."""

    def describe(self) -> dict[str, Any]:
        """Describe the properties of a program that only loading shows, for the server."""
        return {}

    @abstractmethod
    def call(self, verb: str, arguments: dict[str, Any]) -> Answer:
        """Run a verb. Its exceptions are reported; after one of our own errors the program stays loaded."""

    def unload(self) -> None:
        """Let the program clean up."""
        return


def load(program: Program) -> Loaded:
    """Load a program under its memory limit.

    Raises
    ------
    PluginFailed
        The program is incomplete; the message names what is missing.
    Exception
        Any exception of the program's own code.
    """
    limits.limit_memory(program.memory, native.watch_memory)
    if program.kind == "builtin":
        return Builtin(program)
    if program.kind == "python":
        return PythonPlugin(program)
    if program.kind == "model":
        return ModelProgram(program)
    return NativeProgram(program)


class Builtin(Loaded):
    """Loader of one of our modules, whose public functions `verb(arguments) -> (meta, body)` are the verbs."""

    def __init__(self, program: Program) -> None:
        self._module = importlib.import_module(program.target)

    def call(self, verb: str, arguments: dict[str, Any]) -> Answer:
        function: Callable[[dict[str, Any]], Answer] = getattr(self._module, verb)
        return function(arguments)


class PythonPlugin(Loaded):
    """Loader of a folder with `plugin.py`, which has a class `Plugin`."""

    def __init__(self, program: Program) -> None:
        self._program = program
        folder = Path(program.target)
        register_codecs()  # ds.pixel_array decodes what the server decodes
        sys.dont_write_bytecode = True
        sys.path.insert(0, str(folder))
        os.chdir(folder)
        _uncover(folder)
        if "numpy" in sys.modules:
            sys.modules["numpy"].random.seed()  # otherwise all forked workers would draw the same numbers
        models = _models_of(program)
        module = _import_plugin(folder)
        kind = getattr(module, "Plugin", None)
        if not isinstance(kind, type):
            raise PluginFailed(f"{program.title}: plugin.py has no class Plugin")
        if not callable(getattr(kind, "process", None)):
            raise PluginFailed(f"{program.title}: the class Plugin in plugin.py has no method process")
        self._plugin = kind()
        if models is not None:
            self._plugin.models = models
        if callable(init := getattr(self._plugin, "init", None)):
            init()

    def call(self, verb: str, arguments: dict[str, Any]) -> Answer:
        given: Any = results.datasets_of(arguments) if "files" in arguments else results.dataset_of(arguments)
        result = self._plugin.process(given, **arguments.get("params", {}))
        return results.from_python(result, arguments, self._program)

    def unload(self) -> None:
        if callable(destroy := getattr(self._plugin, "destroy", None)):
            destroy()
        del self._plugin
        gc.collect()


def _uncover(folder: Path) -> None:
    """Forget modules that we have imported, where the plugin has its own of the same name."""
    for entry in folder.iterdir():
        name = entry.stem if entry.suffix == ".py" else entry.name
        is_module = entry.suffix == ".py" or (entry / "__init__.py").is_file()
        if is_module and name in sys.modules and name not in _OURS and name not in sys.builtin_module_names:
            for loaded in [each for each in sys.modules if each == name or each.startswith(f"{name}.")]:
                del sys.modules[loaded]


def _import_plugin(folder: Path) -> ModuleType:
    """Import `plugin.py` from this folder and no other. Modules beside it can be imported relative to it."""
    path = folder / "plugin.py"
    spec = importlib.util.spec_from_file_location("plugin", path, submodule_search_locations=[str(folder)])
    if spec is None or spec.loader is None or not path.is_file():
        raise PluginFailed(f"the plugin's folder {folder.name} has no plugin.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["plugin"] = module
    spec.loader.exec_module(module)
    return module


def _models_of(program: Program) -> Any:
    """Load the models that a Python plugin finds as `self.models`; None where its META.json names none."""
    if not program.models:
        return None
    access = importlib.import_module("neurdicom.workers.model.access")  # with it comes onnxruntime
    return access.Models(program.models, program.threads)


class ModelProgram(Loaded):
    """Loader of a neural network with its META.json."""

    def __init__(self, program: Program) -> None:
        self._program = program
        register_codecs()
        network = importlib.import_module("neurdicom.workers.model.network")  # with it comes onnxruntime
        self._network = network.Network(Path(program.target), threads=program.threads)

    def call(self, verb: str, arguments: dict[str, Any]) -> Answer:
        if protocol.DESCRIPTORS not in arguments:
            return results.from_python(self._network.process(arguments), arguments, self._program)
        volume = map_doubles(arguments[protocol.DESCRIPTORS][0], tuple(arguments["shape"]))
        answer = self._network.process_volume(volume, arguments["params"])
        if isinstance(answer, dict):
            return results.from_python(answer, arguments, self._program)
        return results.from_native(answer, None, arguments, self._program, is_stack=True)


class NativeProgram(Loaded):
    """Loader of a shared library with the C interface of neurdicom_plugin.h."""

    def __init__(self, program: Program) -> None:
        self._program = program
        os.chdir(Path(program.target).parent)
        self._models = {"_models": network_files(program.models)} if program.models else {}
        self._images = native.ImageBuffer()
        self._plugin = native.NativePlugin(Path(program.target))
        if not self._plugin.takes_images and program.level != "series":
            raise PluginFailed(f'{program.title} exports ProcessVolume only: META.json must say "level": "series"')

    def describe(self) -> dict[str, Any]:
        return {"takes_volumes": self._plugin.takes_volumes}

    def call(self, verb: str, arguments: dict[str, Any]) -> Answer:
        if protocol.DESCRIPTORS in arguments:
            return self._call_volume(arguments)
        pixels = results.pixels_of(arguments, self._program, self._images, single=self._plugin.wants_float32)
        params = orjson.dumps(arguments.get("params", {}) | self._models | self._image_of(arguments))
        result = self._plugin.process(pixels, params)
        return results.from_native(result, self._plugin.result_json(), arguments, self._program)

    def _image_of(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return {"_image": results.image_of(arguments, self._program)} if self._program.geometry else {}

    def _call_volume(self, arguments: dict[str, Any]) -> Answer:
        volume = map_doubles(arguments[protocol.DESCRIPTORS][0], tuple(arguments["shape"]))
        params = orjson.dumps(arguments["params"] | self._models | {"_image": arguments["image"]})
        result, is_stack = self._plugin.process_volume(volume, params) or (None, False)
        text = self._plugin.result_json()
        return results.from_native(result, text, arguments, self._program, is_stack=is_stack)

    def unload(self) -> None:
        self._plugin.close()
