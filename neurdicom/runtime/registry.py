"""The installed plugins, in memory: who is current, who is still in use, and who is not to be run."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from neurdicom.errors import NotFound, PluginError, PluginQuarantined
from neurdicom.runtime.archive import Kind
from neurdicom.runtime.manifest import Manifest, parse_manifest
from neurdicom.runtime.program import Program

#: So many failures at load, with no load that succeeded between them, put a plugin into quarantine.
QUARANTINE_AFTER = 3


@dataclass(frozen=True, slots=True)
class Plugin:
    """One version of a plugin.

    Attributes
    ----------
    manifest : Manifest
        Its META.json.
    kind : {"python", "native"}
        What its files make it.
    target : str
        The file that a worker loads, relative to the package's folder.
    digest : str
        SHA-256 of the archive, in hexadecimal.
    installed : str
        When, ISO 8601 in UTC.
    problem : str or None
        Why it is quarantined; None while it is ready.
    """

    manifest: Manifest
    kind: Kind
    target: str
    digest: str
    installed: str
    problem: str | None = None

    @property
    def id(self) -> str:
        """The id in the API: `plugin_guid`."""
        return self.manifest.guid

    @property
    def state(self) -> Literal["ready", "quarantined"]:
        """Whether it is run."""
        return "ready" if self.problem is None else "quarantined"

    def as_dict(self) -> dict[str, Any]:
        """As the API gives it."""
        own = {key: getattr(self, key) for key in ("id", "kind", "digest", "state", "problem", "installed")}
        return self.manifest.as_dict() | own

    def as_document(self) -> dict[str, Any]:
        """As the catalog keeps it. The META.json goes as text: its keys are the author's, and may be any."""
        own = {key: getattr(self, key) for key in ("id", "kind", "target", "digest", "installed", "problem")}
        return {**own, "meta": self.manifest.as_json()}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Plugin":
        """Read what `as_document` gave. Raises `Invalid` when this version of the server refuses its META.json."""
        own = {key: document[key] for key in ("kind", "target", "digest", "installed", "problem")}
        return cls(manifest=parse_manifest(document["meta"].encode()), **own)

    def program(self, folder: Path, *, timeout: float, memory: int) -> Program:
        """What a worker loads.

        Parameters
        ----------
        folder : Path
            Where the package is extracted.
        timeout : float
            The administrator's cap for one call, in seconds.
        memory : int
            The administrator's cap for one worker, in MiB.
        """
        manifest = self.manifest
        return Program(
            kind=self.kind,
            target=str(folder if self.kind == "python" else folder / self.target),
            name=manifest.name,
            digest=self.digest,
            timeout=min(timeout, manifest.timeout or timeout),
            memory=max(1, int(min(memory, manifest.memory or memory))),
            input=manifest.input,
            result=manifest.result,
        )


class Registry:
    """The current version of every plugin, and the versions that are held by a request or an upload.

    A version that is neither current nor held is idle, and `on_idle` is told its digest: its workers and its files
    can go. Everything here belongs to the event loop's thread.
    """

    def __init__(self, on_idle: Callable[[str], None]) -> None:
        self._current: dict[str, Plugin] = {}
        self._held: Counter[str] = Counter()
        self._failures: dict[str, list[PluginError]] = {}
        self._on_idle = on_idle

    def all(self) -> list[Plugin]:
        """Every plugin, by name and then id."""
        return sorted(self._current.values(), key=lambda plugin: (plugin.manifest.name.casefold(), plugin.id))

    def get(self, guid: str) -> Plugin:
        """The current version. Raises `NotFound`."""
        try:
            return self._current[guid]
        except KeyError:
            raise NotFound(f"there is no plugin {guid!r}") from None

    def find(self, guid: str) -> Plugin | None:
        """The current version, or None."""
        return self._current.get(guid)

    def put(self, plugin: Plugin) -> None:
        """Make a version the current one."""
        before = self._current.get(plugin.id)
        self._current[plugin.id] = plugin
        self._failures.pop(plugin.digest, None)
        if before is not None:
            self._check_idle(before.digest)

    def remove(self, guid: str) -> None:
        """Forget a plugin. Raises `NotFound`."""
        plugin = self.get(guid)
        del self._current[guid]
        self._failures.pop(plugin.digest, None)
        self._check_idle(plugin.digest)

    @contextmanager
    def hold(self, digest: str) -> Iterator[None]:
        """Keep a version's workers and files for as long as the context lasts."""
        self._held[digest] += 1
        try:
            yield
        finally:
            self._held[digest] -= 1
            if not self._held[digest]:
                del self._held[digest]
                self._check_idle(digest)

    def is_wanted(self, digest: str) -> bool:
        """Whether a version is current or held."""
        return digest in self._held or any(plugin.digest == digest for plugin in self._current.values())

    def check_ready(self, plugin: Plugin) -> None:
        """Refuse to run what is quarantined. Raises `PluginQuarantined`."""
        if plugin.problem is not None:
            raise PluginQuarantined(
                f"the plugin {plugin.manifest.name!r} is quarantined until it is uploaded again: {plugin.problem}"
            )

    def record_success(self, digest: str) -> None:
        """A worker loaded this version."""
        self._failures.pop(digest, None)

    def record_failure(self, plugin: Plugin, error: PluginError) -> Plugin | None:
        """A worker failed to load this version; answers the quarantined plugin when that was once too often."""
        failures = self._failures.setdefault(plugin.digest, [])
        # All requests that waited for one load get the same error, and it counts once.
        if self._current.get(plugin.id) != plugin or any(error is each for each in failures):
            return None
        failures.append(error)
        if len(failures) < QUARANTINE_AFTER:
            return None
        problem = f"it failed to load {len(failures)} times in a row, at last with {error.code}: {error}"
        quarantined = replace(plugin, problem=problem)
        self._current[plugin.id] = quarantined
        return quarantined

    def _check_idle(self, digest: str) -> None:
        if not self.is_wanted(digest):
            self._on_idle(digest)
