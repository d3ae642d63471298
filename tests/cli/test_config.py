"""Settings: their sources, each over the one before, and what is refused."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from neurdicom.config import Settings, load_settings, log_ignored_variables
from neurdicom.errors import Invalid


def test_each_source_goes_over_the_one_before(tmp_path: Path) -> None:
    file = tmp_path / "neurdicom.toml"
    file.write_text('port = 1111\nplugin_timeout = 7\nlog_level = "debug"\n', encoding="utf-8")
    environment = {"NEURDICOM_PORT": "2222", "NEURDICOM_LOG_LEVEL": "error", "NEURDICOM_TEST_MONGODB_URI": "x"}
    settings = load_settings(file, environment, port=3333, host=None)
    assert (settings.port, settings.log_level, settings.plugin_timeout) == (3333, "error", 7.0)
    assert settings.host == "127.0.0.1"


def test_the_data_folder_is_absolute() -> None:
    """Workers have working directories of their own."""
    assert load_settings(environment={}, data=Path("somewhere")).data == Path.cwd() / "somewhere"


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"port": 65536}, "port"),
        ({"port": "80"}, "port"),
        ({"port": True}, "port"),
        ({"plugin_memory": 1}, "plugin_memory"),
        ({"plugin_timeout": float("nan")}, "plugin_timeout"),
        ({"log_format": "xml"}, "log_format"),
        ({"no_auth": True, "host": "0.0.0.0"}, "no_auth"),
        ({"no_auth": True, "host": "example.org"}, "no_auth"),
        ({"mongodb_uri": "postgres://x"}, "mongodb_uri"),
        ({"max_storage": -1}, "max_storage"),
        ({"max_storage": "1 GiB"}, "max_storage"),
        ({"max_age_days": -0.5}, "max_age_days"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_is_wrong_is_named(values: dict[str, object], field: str, tmp_path: Path) -> None:
    file = tmp_path / "neurdicom.toml"
    lines = (f"{key} = {json.dumps(value) if value == value else 'nan'}\n" for key, value in values.items())
    file.write_text("".join(lines), encoding="utf-8")
    with pytest.raises(Invalid) as raised:
        load_settings(file, {})
    assert raised.value.field == field


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.53", "::1", "localhost"])
def test_without_credentials_on_loopback(host: str) -> None:
    assert Settings(no_auth=True, host=host).no_auth


@pytest.mark.parametrize("content", [b"port = ", b"\xff\xfe", None])
def test_a_settings_file_that_is_none(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "neurdicom.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(Invalid, match=r"neurdicom\.toml"):
        load_settings(file, {})


def check_config(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "neurdicom", "check-config", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={"NEURDICOM_PORT": "99"})


def test_check_config() -> None:
    done = check_config("--mongodb-uri", "mongodb://user:secret@localhost/x", "--no-auth")
    shown = json.loads(done.stdout)
    assert (done.returncode, shown["port"], shown["no_auth"]) == (0, 99, True)
    assert "secret" not in done.stdout
    done = check_config("--port", "many")
    assert (done.returncode, done.stderr) == (2, "neurdicom: port is 'many'; an integer is expected\n")


def test_what_kubernetes_adds_is_left_aside(caplog: pytest.LogCaptureFixture) -> None:
    """A service called neurdicom, and one called neurdicom-dimse."""
    environment = {
        "NEURDICOM_PORT": "tcp://10.0.0.7:8080",
        "NEURDICOM_SERVICE_HOST": "10.0.0.7",
        "NEURDICOM_SERVICE_PORT": "8080",
        "NEURDICOM_SERVICE_PORT_HTTP": "8080",
        "NEURDICOM_PORT_8080_TCP": "tcp://10.0.0.7:8080",
        "NEURDICOM_PORT_8080_TCP_ADDR": "10.0.0.7",
        "NEURDICOM_PORT_8080_TCP_PORT": "8080",
        "NEURDICOM_PORT_8080_TCP_PROTO": "tcp",
        "NEURDICOM_DIMSE_PORT": "tcp://10.0.0.8:4242",
        "NEURDICOM_DIMSE_SERVICE_HOST": "10.0.0.8",
    }
    settings = load_settings(environment=environment)
    assert (settings.port, settings.dimse_port) == (8080, 0)
    with caplog.at_level("INFO"):
        log_ignored_variables(environment)
    ((_, level, text),) = caplog.record_tuples
    assert level == logging.INFO
    assert all(name in text for name in environment)
    with pytest.raises(Invalid, match="port is 'eighty'"):
        load_settings(environment={"NEURDICOM_PORT": "eighty"})


def test_unknown_variables_are_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    environment = {
        "NEURDICOM_SERVER": "http://x",
        "NEURDICOM_TOKEN": "x",
        "NEURDICOM_PLUGIN_TIMEOUTS": "5",
        "NEURDICOM_PORT": "81",
    }
    assert load_settings(environment=environment).port == 81
    log_ignored_variables(environment)
    ((_, level, text),) = caplog.record_tuples
    assert (level, "NEURDICOM_PLUGIN_TIMEOUTS" in text, "NEURDICOM_TOKEN" in text) == (logging.WARNING, True, False)
    assert "meant may be NEURDICOM_PLUGIN_TIMEOUT;" in text
    caplog.clear()
    log_ignored_variables({"NEURDICOM_FOO": "1"})
    assert "meant may be" not in caplog.text  # the prefix that all have in common makes no two alike
    with pytest.raises(Invalid, match="the command line"):
        load_settings(environment={}, colour="red")
