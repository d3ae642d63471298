"""Settings from, each overriding the one before: defaults, a TOML file, `NEURDICOM_*` variables, the command line."""

import ipaddress
import logging
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from neurdicom.addresses import read_networks, read_public_url
from neurdicom.errors import Invalid

ENVIRONMENT_PREFIX = "NEURDICOM_"

#: Variables with the prefix that are not settings: the path of the settings file, and the server and token of commands.
NOT_SETTINGS = ("NEURDICOM_CONFIG", "NEURDICOM_SERVER", "NEURDICOM_TOKEN")
_OF_TESTS = "NEURDICOM_TEST_"

#: Variables that Kubernetes and Docker links set for a service called neurdicom or neurdicom-dimse.
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
    """Settings of a server; the metadata of a field holds its description, its range or choices, if it is a file."""

    data: Path = _setting(
        Path("neurdicom-data"), "Data folder: files, embedded catalog, plugins and results; one server at a time."
    )
    host: str = _setting("127.0.0.1", "Address to listen on; 0.0.0.0 for all addresses.")
    port: int = _setting(8080, "TCP port of HTTP: the REST API and DICOMweb; 0 for any free port.", low=0, high=65535)
    no_auth: bool = _setting(
        False, "Accept requests without credentials; allowed only where host is a loopback address."
    )
    mongodb_uri: str = _setting(
        "", "MongoDB that holds the catalog, such as mongodb://localhost:27017/neurdicom; none for SQLite."
    )
    plugin_workers: int = _setting(
        len(os.sched_getaffinity(0)), "Worker processes for each plugin (default: number of cores).", low=1, high=1024
    )
    plugin_timeout: float = _setting(60.0, "Seconds that a plugin may take for one call.", low=0.01, high=86400)
    plugin_memory: int = _setting(2048, "MiB of memory that a plugin's worker may use.", low=64, high=1 << 20)
    results_size: int = _setting(
        10240, "MiB of kept results; the least recently used are removed first.", low=0, high=1 << 40
    )
    verify_days: float = _setting(
        30.0, "Days between two background checks of all stored files; 0 for none.", low=0.0, high=36500.0
    )
    verify_rate: float = _setting(
        20.0, "MiB that a background check reads in a second; 0 for no limit.", low=0.0, high=1e6
    )
    session_hours: float = _setting(12.0, "Hours until a sign-in expires.", low=0.01, high=24 * 365)
    max_upload: int = _setting(0, "Largest upload in bytes; 0 for no limit.", low=0, high=1 << 62)
    conflicts: str = _setting(
        "keep",
        "Files whose UIDs are those of another patient, study or series: keep both apart, or refuse the later ones.",
        choices=("keep", "refuse"),
    )
    same_instance: str = _setting(
        "version",
        "Another file of an instance that is there: it becomes the current version, is dropped to keep the first, or "
        "is refused.",
        choices=("version", "keep", "refuse"),
    )
    uids: str = _setting(
        "lenient",
        "Study, series and instance UIDs that break PS3.5 9.1, such as ones with letters: keep them as they are, or "
        "refuse their files.",
        choices=("lenient", "strict"),
    )
    part10: str = _setting(
        "lenient",
        "Datasets without preamble or File Meta Information: store them with one, or refuse them.",
        choices=("lenient", "strict"),
    )
    dimse_port: int = _setting(
        0, "TCP port of the DIMSE services, such as 4242; 0 to accept no associations.", low=0, high=65535
    )
    ae_title: str = _setting("NEURDICOM", "Application Entity Title of this server.")
    dimse_accept: str = _setting(
        "known",
        "AEs that may store, query and retrieve: those registered as DICOM nodes, or any.",
        choices=("known", "any"),
    )
    dimse_called: str = _setting(
        "any", "Called AE titles that are accepted: any, or only the server's own.", choices=("any", "own")
    )
    dimse_storage: str = _setting(
        "known",
        "SOP classes that may be stored: those of the standard, or any, private ones included.",
        choices=("known", "any"),
    )
    dimse_relational: bool = _setting(
        True,
        "Answer relational queries and retrievals, whose unique keys of levels above are missing, lists or patterns; "
        "they are refused otherwise.",
    )
    dimse_processes: int = _setting(
        len(os.sched_getaffinity(0)),
        "Largest number of processes for associations (default: number of cores).",
        low=1,
        high=256,
    )
    dimse_associations: int = _setting(
        64, "Largest number of concurrent associations; further ones are rejected.", low=1, high=10000
    )
    dimse_timeout: float = _setting(30.0, "Seconds to wait for a message of a DIMSE peer.", low=1.0, high=3600.0)
    dimse_tls_certificate: str = _setting(
        "", "Certificate file (PEM) of this server for DIMSE over TLS, as acceptor and as requestor.", file=True
    )
    dimse_tls_key: str = _setting("", "Private key file (PEM) of dimse_tls_certificate.", file=True)
    dimse_tls_ca: str = _setting(
        "", "File of CA certificates (PEM); one of them must have signed the certificate of a TLS peer.", file=True
    )
    dask: str = _setting("", "Scheduler of a Dask cluster that runs the plugins of jobs, such as tcp://host:8786.")
    dask_tls_ca: str = _setting("", "File of CA certificates (PEM) for a scheduler at a tls:// address.", file=True)
    dask_tls_certificate: str = _setting("", "Certificate file (PEM) of this server for the Dask cluster.", file=True)
    dask_tls_key: str = _setting("", "Private key file (PEM) of dask_tls_certificate.", file=True)
    stable_seconds: float = _setting(
        60.0, "Seconds without a new instance after which a series is stable.", low=0.1, high=86400.0
    )
    cors_origins: str = _setting(
        "", "Web origins that may use DICOMweb and the REST API (CORS), separated by commas; * for all."
    )
    trusted_proxies: str = _setting(
        "127.0.0.0/8,::1",
        "Addresses and networks of proxies that are believed who the client is and what URL it asked for "
        "(`Forwarded`, `X-Forwarded-*`), separated by commas; empty for none.",
    )
    public_url: str = _setting(
        "", "URL at which clients reach this server, such as https://example.org/pacs; all URLs in answers begin so."
    )
    trash_days: float = _setting(
        30.0, "Days that deletions and earlier versions lie in the trash; 0 for no trash.", low=0, high=36500
    )
    max_storage: float = _setting(
        0.0,
        "MiB that instances and the trash may take; beyond it the trash is emptied, then the oldest studies go. 0 for "
        "no limit.",
        low=0.0,
        high=float(1 << 40),
    )
    max_age_days: float = _setting(
        0.0, "Days after its last arrival for which a study is kept; 0 for no limit.", low=0.0, high=36500.0
    )
    dicomweb_transfer_syntax: str = _setting(
        "explicit",
        "Transfer syntax of files and frames that DICOMweb is asked for without one: Explicit VR Little Endian, or as "
        "stored.",
        choices=("explicit", "stored"),
    )
    dicomweb_delete: bool = _setting(False, "Accept DELETE requests on DICOMweb studies, series and instances.")
    log_level: str = _setting("info", "Lowest level that is logged.", choices=("debug", "info", "warning", "error"))
    log_format: str = _setting("text", "Format of log lines.", choices=("text", "json"))

    def __post_init__(self) -> None:
        # Workers have other working directories, and receive paths below this folder.
        object.__setattr__(self, "data", self.data.absolute())
        for each in fields(self):
            _check(each.name, getattr(self, each.name), each.metadata)
        if self.no_auth and not is_loopback(self.host):
            raise Invalid(
                f"no_auth is set and host is {self.host!r}; no_auth is allowed only where host is a loopback address "
                "(127.0.0.1, ::1 or localhost)",
                field="no_auth",
            )
        if self.mongodb_uri and not self.mongodb_uri.startswith(("mongodb://", "mongodb+srv://")):
            raise Invalid("mongodb_uri must begin with mongodb:// or mongodb+srv://", field="mongodb_uri")
        if not is_ae_title(self.ae_title):
            raise Invalid(
                f"ae_title is {self.ae_title!r}; 1 to 16 printable ASCII characters without a backslash are expected",
                field="ae_title",
            )
        if bool(self.dimse_tls_certificate) != bool(self.dimse_tls_key):
            missing = "dimse_tls_key" if self.dimse_tls_certificate else "dimse_tls_certificate"
            raise Invalid(f"{missing} is missing; a certificate and its key must both be set", field=missing)
        for name, read in (("trusted_proxies", read_networks), ("public_url", read_public_url)):
            try:
                _ = getattr(self, name) and read(getattr(self, name))
            except ValueError as error:
                raise Invalid(f"{name} is {getattr(self, name)!r}; {error}", field=name) from error
        self._check_dask()
        for name in (f"{part}_tls_{what}" for part in ("dimse", "dask") for what in ("certificate", "key", "ca")):
            file = getattr(self, name)
            if file and not Path(file).is_file():
                raise Invalid(f"{name} is {file!r}, and there is no such file", field=name)

    def _check_dask(self) -> None:
        """Check the address of the Dask cluster, and that the TLS files are set where the address is a TLS one."""
        if self.dask and not _DASK_ADDRESS.match(self.dask):
            raise Invalid(f"dask is {self.dask!r}; tcp://host:port or tls://host:port is expected", field="dask")
        if self.dask.startswith("tls://"):
            for name in ("dask_tls_ca", "dask_tls_certificate", "dask_tls_key"):
                if not getattr(self, name):
                    raise Invalid(f"{name} is missing; the Dask scheduler {self.dask} requires it", field=name)


def is_loopback(host: str) -> bool:
    """Tell whether an address is reachable from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_ae_title(text: str) -> bool:
    """Tell whether a text is an Application Entity Title (PS3.5 section 6.2, VR AE), without spaces around it."""
    return 1 <= len(text) <= 16 and text.strip() == text and text.isascii() and text.isprintable() and "\\" not in text


def load_settings(file: Path | None = None, environment: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """Load the settings from all their sources.

    Parameters
    ----------
    file : Path, optional
        TOML file with settings at its top level.
    environment : Mapping[str, str], optional
        Variables `NEURDICOM_<SETTING>`; the environment of this process by default. Variables with the prefix that are
        not settings are ignored; `log_ignored_variables` logs them.
    **overrides
        Settings from the command line; None where the option was not given.

    Returns
    -------
    Settings

    Raises
    ------
    Invalid
        An unknown key in the file or on the command line, or a value of the wrong type or out of range; `field` names
        the setting.
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
    """Log the environment variables that have the prefix and are not settings: unknown ones as a warning."""
    found = _variables(os.environ if environment is None else environment)
    if unknown := sorted(name for name, (kind, _) in found.items() if kind == "unknown"):
        keys = [found[name][1] for name in unknown]  # without the prefix, which all have in common
        close = sorted({match for key in keys for match in get_close_matches(key, _types(), n=1, cutoff=0.8)})
        log.warning(
            "%s in the environment: no such setting, left aside%s; `neurdicom check-config` prints all settings",
            ", ".join(unknown),
            f"; meant may be {', '.join(ENVIRONMENT_PREFIX + key.upper() for key in close)}" if close else "",
        )
    if of_services := sorted(name for name, (kind, _) in found.items() if kind == "service"):
        log.info(
            "%s in the environment ignored: Kubernetes or Docker set them for a service called neurdicom",
            ", ".join(of_services),
        )


def _variables(environment: Mapping[str, str]) -> dict[str, tuple[Literal["setting", "service", "unknown"], str]]:
    """Map each variable that has the prefix to its kind, and to the key of the setting that it names."""
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
        raise Invalid(f"settings file {file} can't be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"settings file {file} is not valid TOML: {error}") from error
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
