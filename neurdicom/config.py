"""The settings: defaults, then a TOML file, then `NEURDICOM_*` in the environment, then the command line."""

import ipaddress
import logging
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from neurdicom.errors import Invalid

ENVIRONMENT_PREFIX = "NEURDICOM_"

#: Variables of the prefix that are no settings: the settings file's path, and what commands and tests read.
NOT_SETTINGS = ("NEURDICOM_CONFIG", "NEURDICOM_SERVER", "NEURDICOM_TOKEN")
_OF_TESTS = "NEURDICOM_TEST_"

#: What Kubernetes and Docker links put into the environment for a service called neurdicom or neurdicom-dimse.
_OF_SERVICES = re.compile(
    r"NEURDICOM_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
_ADDRESS_OF_SERVICE = re.compile(r"(tcp|udp|sctp)://\S+")

log = logging.getLogger(__name__)

_DASK_ADDRESS = re.compile(r"(?:tcp|tls)://(?:\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+):\d{1,5}\Z")


def _setting(default: Any, help: str, **constraints: Any) -> Any:
    return field(default=default, metadata={"help": help, **constraints})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings of a server; each field's metadata tells what it means and what it may be."""

    data: Path = _setting(Path("neurdicom-data"), "Folder of the files, the embedded catalog and the plugins.")
    host: str = _setting("127.0.0.1", "Address to listen on; 0.0.0.0 for all.")
    port: int = _setting(8080, "TCP port of the REST API; 0 takes a free one.", low=0, high=65535)
    no_auth: bool = _setting(False, "Ask for no credential; accepted only with a loopback address.")
    mongodb_uri: str = _setting("", "MongoDB to keep the catalog in, such as mongodb://localhost:27017/neurdicom.")
    plugin_workers: int = _setting(
        len(os.sched_getaffinity(0)), "Worker processes for each plugin (default: cores).", low=1, high=1024
    )
    plugin_timeout: float = _setting(60.0, "Seconds that a plugin may take for one call.", low=0.01, high=86400)
    plugin_memory: int = _setting(2048, "MiB of memory that a plugin's worker may take.", low=64, high=1 << 20)
    results_size: int = _setting(
        10240, "MiB of kept results; those that were not used for the longest time go first.", low=0, high=1 << 40
    )
    session_hours: float = _setting(12.0, "Hours until a sign-in expires.", low=0.01, high=24 * 365)
    max_upload: int = _setting(0, "Bytes that one upload may have; 0 for no limit.", low=0, high=1 << 62)
    dimse_port: int = _setting(0, "TCP port of the DIMSE services, such as 4242; 0 for none.", low=0, high=65535)
    ae_title: str = _setting("NEURDICOM", "Application Entity Title of this server.")
    dimse_accept: str = _setting(
        "known", "Who may store, query and retrieve: AEs that are DICOM nodes here, or any.", choices=("known", "any")
    )
    dimse_called: str = _setting(
        "any", "Called AE titles that are answered to: any, or only the server's own.", choices=("any", "own")
    )
    dimse_storage: str = _setting(
        "known",
        "SOP classes that are stored: those of the standard, or any (private ones too).",
        choices=("known", "any"),
    )
    dimse_processes: int = _setting(
        len(os.sched_getaffinity(0)), "Most processes for associations (default: cores).", low=1, high=256
    )
    dimse_associations: int = _setting(64, "Associations at a time; more are rejected.", low=1, high=10000)
    dimse_timeout: float = _setting(30.0, "Seconds that a DIMSE peer may be silent.", low=1.0, high=3600.0)
    dimse_tls_certificate: str = _setting("", "Certificate (PEM) for DIMSE over TLS, in both directions.")
    dimse_tls_key: str = _setting("", "Its private key (PEM).")
    dimse_tls_ca: str = _setting("", "Certificates (PEM) that those of TLS peers must be signed by.")
    dask: str = _setting("", "Scheduler of a Dask cluster that does the jobs' plugin runs, such as tcp://host:8786.")
    dask_tls_ca: str = _setting("", "Certificates (PEM) that those of a cluster at a tls:// address must be signed by.")
    dask_tls_certificate: str = _setting("", "Certificate (PEM) that the server shows the Dask cluster.")
    dask_tls_key: str = _setting("", "Its private key (PEM).")
    stable_seconds: float = _setting(
        60.0, "Seconds without a new instance after which a series is stable.", low=0.1, high=86400.0
    )
    cors_origins: str = _setting("", "Origins whose pages may use DICOMweb and REST, separated by commas; * for all.")
    dicomweb_delete: bool = _setting(False, "Accept DELETE at the DICOMweb base.")
    log_level: str = _setting("info", "How much is logged.", choices=("debug", "info", "warning", "error"))
    log_format: str = _setting("text", "Form of the log's lines.", choices=("text", "json"))

    def __post_init__(self) -> None:
        # Workers have working directories of their own, and get paths below this one.
        object.__setattr__(self, "data", self.data.absolute())
        for each in fields(self):
            _check(each.name, getattr(self, each.name), each.metadata)
        if self.no_auth and not is_loopback(self.host):
            raise Invalid(
                f"no_auth is set and host is {self.host!r}; without credentials the server listens on a loopback "
                "address only (127.0.0.1, ::1 or localhost)",
                field="no_auth",
            )
        if self.mongodb_uri and not self.mongodb_uri.startswith(("mongodb://", "mongodb+srv://")):
            raise Invalid("mongodb_uri does not begin with mongodb:// or mongodb+srv://", field="mongodb_uri")
        if not is_ae_title(self.ae_title):
            raise Invalid(
                f"ae_title is {self.ae_title!r}; 1 to 16 printable ASCII characters without a backslash are expected",
                field="ae_title",
            )
        if bool(self.dimse_tls_certificate) != bool(self.dimse_tls_key):
            missing = "dimse_tls_key" if self.dimse_tls_certificate else "dimse_tls_certificate"
            raise Invalid(f"{missing} is missing; a certificate and its key go together", field=missing)
        self._check_dask()
        for name in (f"{part}_tls_{what}" for part in ("dimse", "dask") for what in ("certificate", "key", "ca")):
            file = getattr(self, name)
            if file and not Path(file).is_file():
                raise Invalid(f"{name} is {file!r}, which is no file", field=name)

    def _check_dask(self) -> None:
        """Check the address of the Dask cluster, and what goes with it."""
        if self.dask and not _DASK_ADDRESS.match(self.dask):
            raise Invalid(f"dask is {self.dask!r}; tcp://host:port or tls://host:port is expected", field="dask")
        if self.dask.startswith("tls://"):
            for name in ("dask_tls_ca", "dask_tls_certificate", "dask_tls_key"):
                if not getattr(self, name):
                    raise Invalid(f"{name} is missing; the Dask cluster is at {self.dask}", field=name)


def is_loopback(host: str) -> bool:
    """Tell whether an address can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_ae_title(text: str) -> bool:
    """Tell whether a text is an Application Entity Title (PS3.5 6.2, VR AE): not only spaces, none around it."""
    return 1 <= len(text) <= 16 and text.strip() == text and text.isascii() and text.isprintable() and "\\" not in text


def load_settings(file: Path | None = None, environment: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """Build the settings from all their sources.

    Parameters
    ----------
    file : Path, optional
        TOML file with settings at its top level.
    environment : Mapping[str, str], optional
        Variables `NEURDICOM_<SETTING>`; the process's own by default.
        Those that are none are left aside; `log_ignored_variables` tells of them.
    **overrides
        From the command line; None means not given.

    Raises
    ------
    Invalid
        An unknown key of the file or of the command line, or a value of the wrong type or out of range; `field` names
        it.
    """
    values: dict[str, Any] = {}
    if file is not None:
        values |= _read_file(file)
    environment = os.environ if environment is None else environment
    for name, (kind, key) in _variables(environment).items():
        if kind == "setting":
            values[key] = from_text(key, environment[name])
    values |= {key: value for key, value in overrides.items() if value is not None}
    for key, value in values.items():
        _refuse_unknown(key, "the command line")
        values[key] = _coerce(key, value)
    return Settings(**values)


def log_ignored_variables(environment: Mapping[str, str] | None = None) -> None:
    """Log which variables of the environment have our prefix and are no settings: unknown ones as a warning."""
    found = _variables(os.environ if environment is None else environment)
    if unknown := sorted(name for name, (kind, _) in found.items() if kind == "unknown"):
        log.warning(
            "no setting has the name of %s in the environment: left aside; known are %s",
            ", ".join(unknown),
            ", ".join(ENVIRONMENT_PREFIX + key.upper() for key in sorted(_types())),
        )
    if of_services := sorted(name for name, (kind, _) in found.items() if kind == "service"):
        log.info(
            "left aside in the environment, since Kubernetes or Docker set them for a service of that name: %s",
            ", ".join(of_services),
        )


def _variables(environment: Mapping[str, str]) -> dict[str, tuple[Literal["setting", "service", "unknown"], str]]:
    """Sort the variables that have our prefix: name to what it is, and the key that it would set."""
    found: dict[str, tuple[Literal["setting", "service", "unknown"], str]] = {}
    for name, text in environment.items():
        if not name.startswith(ENVIRONMENT_PREFIX) or name in NOT_SETTINGS or name.startswith(_OF_TESTS):
            continue
        key = name.removeprefix(ENVIRONMENT_PREFIX).lower()
        is_address = name.endswith("_PORT") and _ADDRESS_OF_SERVICE.fullmatch(text) is not None
        if is_address or _OF_SERVICES.fullmatch(name):
            found[name] = ("service", key)
        else:
            found[name] = ("setting" if key in _types() else "unknown", key)
    return found


def from_text(key: str, text: str) -> Any:
    """Convert the text of an environment variable to its setting's type. Raises `Invalid`."""
    kind = _types()[key]
    try:
        if kind is bool:
            return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[text.lower()]
        return kind(text)
    except (KeyError, ValueError) as error:
        raise Invalid(f"{key} is {text!r}; {_name_of(kind)} is expected", field=key) from error


def _read_file(file: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise Invalid(f"the settings file {file} can't be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"the settings file {file} is not TOML: {error}") from error
    for key in values:
        _refuse_unknown(key, str(file))
    return values


def _refuse_unknown(key: str, source: str) -> None:
    if key not in _types():
        raise Invalid(f"unknown setting {key!r} in {source}; known are {', '.join(sorted(_types()))}", field=key)


def _types() -> dict[str, type]:
    return {each.name: Path if each.name == "data" else type(each.default) for each in fields(Settings)}


def _name_of(kind: type) -> str:
    names = {bool: "true or false", int: "an integer", float: "a number", str: "text", Path: "a path"}
    return names[kind]


def _coerce(key: str, value: Any) -> Any:
    kind = _types()[key]
    if kind is Path and isinstance(value, str | Path):
        return Path(value)
    if kind is float and type(value) in (int, float):
        return float(value)
    if type(value) is not kind:
        raise Invalid(f"{key} is {value!r}; {_name_of(kind)} is expected", field=key)
    return value


def _check(key: str, value: Any, rules: Mapping[str, Any]) -> None:
    if "low" in rules and not rules["low"] <= value <= rules["high"]:
        raise Invalid(f"{key} is {value}; {rules['low']} to {rules['high']} is allowed", field=key)
    if "choices" in rules and value not in rules["choices"]:
        raise Invalid(f"{key} is {value!r}; one of {', '.join(rules['choices'])} is expected", field=key)
