"""The command that a message gives for a missing extra fits the way in which NeurDICOM was installed."""

from importlib import metadata
from pathlib import Path

import pytest

from neurdicom.installation import how_to_install, is_checkout, requirements_of


class Wheel:
    """A distribution that came from a wheel."""

    requires = metadata.requires("neurdicom")

    def read_text(self, name: str) -> str:
        return '{"archive_info": {}, "url": "file:///tmp/neurdicom.whl"}' if name == "direct_url.json" else ""


def test_in_a_checkout() -> None:
    assert is_checkout()
    assert "pip install -e '.[models]'" in how_to_install("models")


def test_from_a_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Name the extra's packages: no index has NeurDICOM."""
    monkeypatch.setattr(metadata, "distribution", lambda name: Wheel())
    assert not is_checkout()
    text = how_to_install("models")
    assert "neurdicom[" not in text
    assert "pip install 'onnxruntime>=" in text and "'onnx>=" in text
    assert requirements_of("dask")[0].startswith("distributed")
    assert how_to_install("nothing") == "the extra 'nothing' installs it"


def test_no_page_and_no_message_asks_an_index_that_has_none() -> None:
    checkout = Path(__file__).parents[1]
    files = [*checkout.glob("docs/**/*.md"), checkout / "README.md", *checkout.glob("neurdicom/**/*.py")]
    found = [
        file.name
        for file in files
        if "pip install neurdicom" in (text := file.read_text(encoding="utf-8")) or "pip install 'neurdicom[" in text
    ]
    assert found == []
