"""The registry of installed plugins, or models, in memory: current versions, held ones, and quarantined ones."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Generic, TypeVar

from neurdicom.errors import Conflict, NotFound, PluginError, PluginQuarantined
from neurdicom.plugins.versions import PackageVersion

#: Failed loads in a row that put a version into quarantine.
QUARANTINE_AFTER = 3


VersionT = TypeVar("VersionT", bound=PackageVersion)


class Registry(Generic[VersionT]):
    """Current version of each plugin or model, and the earlier versions that a request or an upload still holds.

    A version that is neither current nor held is idle: its workers and its files can go. The event loop's thread alone
    changes anything here; other threads may look versions up.

    Parameters
    ----------
    on_idle : callable
        Called with the digest of a version that has become idle.
    noun : str
        Word for one of them in messages: plugin or model.
    """

    def __init__(self, on_idle: Callable[[str], None], noun: str = "plugin") -> None:
        self._noun = noun
        self._current: dict[str, VersionT] = {}
        self._held: Counter[str] = Counter()
        self._replaced: dict[str, VersionT] = {}
        self._failures: dict[str, list[PluginError]] = {}
        self._on_idle = on_idle

    def all(self) -> list[VersionT]:
        """List the current versions, by name and then id."""
        return sorted(self._current.values(), key=lambda version: (version.manifest.name.casefold(), version.id))

    def get(self, id: str) -> VersionT:
        """Return the current version. Raises `NotFound`."""
        try:
            return self._current[id]
        except KeyError:
            raise NotFound(f"there is no {self._noun} {id!r}") from None

    def version(self, id: str, digest: str | None = None) -> VersionT:
        """Return the current version, or an earlier one with this digest that is still held.

        Raises
        ------
        NotFound
            There is none of this id.
        Conflict
            There is one, but its version with this digest is gone.
        """
        current = self._current.get(id)
        if digest is None or (current is not None and current.digest == digest):
            return self.get(id)
        replaced = self._replaced.get(digest)
        if replaced is not None and replaced.id == id:
            return replaced
        name = self.get(id).manifest.name
        raise Conflict(f"the {self._noun} {name!r} was replaced: its version with the digest {digest[:12]} is gone")

    def find(self, id: str) -> VersionT | None:
        """Return the current version, or None."""
        return self._current.get(id)

    def put(self, version: VersionT) -> None:
        """Make a version the current one of its id."""
        before = self._current.get(version.id)
        self._current[version.id] = version
        self._failures.pop(version.digest, None)
        if before is not None:
            self._retire(before)

    def remove(self, id: str) -> None:
        """Forget the current version of an id. Raises `NotFound`."""
        version = self.get(id)
        del self._current[id]
        self._failures.pop(version.digest, None)
        self._retire(version)

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
                self._replaced.pop(digest, None)
                self._check_idle(digest)

    def is_wanted(self, digest: str) -> bool:
        """Tell whether a version is current or held."""
        return digest in self._held or any(version.digest == digest for version in self._current.values())

    def check_ready(self, version: VersionT) -> None:
        """Refuse a quarantined version. Raises `PluginQuarantined`."""
        if version.problem is not None:
            raise PluginQuarantined(
                f"the {self._noun} {version.manifest.name!r} is quarantined until it is uploaded again: "
                f"{version.problem}"
            )

    def record_success(self, digest: str) -> None:
        """Reset the count of failed loads of a version that a worker has loaded."""
        self._failures.pop(digest, None)

    def record_failure(self, version: VersionT, error: PluginError) -> VersionT | None:
        """Count a failed load; return the version as quarantined if that was one too many, else None."""
        failures = self._failures.setdefault(version.digest, [])
        # All requests that waited for one load get the same error, and it counts once.
        if self._current.get(version.id) != version or any(error is each for each in failures):
            return None
        failures.append(error)
        if len(failures) < QUARANTINE_AFTER:
            return None
        problem = f"it failed to load {len(failures)} times in a row, the last time with {error.code}: {error}"
        quarantined = replace(version, problem=problem)
        self._current[version.id] = quarantined
        return quarantined

    def _retire(self, version: VersionT) -> None:
        """Note that a version is no longer current; its holders still find it."""
        if version.digest in self._held:
            self._replaced[version.digest] = version
        self._check_idle(version.digest)

    def _check_idle(self, digest: str) -> None:
        if not self.is_wanted(digest):
            self._on_idle(digest)
