"""The OHIF viewer as its users get it, served from a site of its own, so that a PACS is another origin to it."""

import json
import re
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from tests.support.checkout import CHECKOUT

#: Where `make ohif` puts it.
FOLDER = CHECKOUT / ".ohif" / "package" / "dist"

#: Of the data source, as OHIF's documentation gives them for Orthanc.
_SOURCE = {
    "friendlyName": "NeurDICOM",
    "name": "neurdicom",
    "qidoSupportsIncludeField": True,
    "imageRendering": "wadors",
    "thumbnailRendering": "wadors",
    "enableStudyLazyLoad": True,
    "supportsFuzzyMatching": True,
    "supportsWildcard": True,
    "dicomUploadEnabled": True,
    "omitQuotationForMultipartRequest": True,
    "requestTransferSyntaxUID": "*",
    "singlepart": "bulkdata,video,pdf",
    "bulkDataURI": {"enabled": True},
}


class Ohif:
    """A web server of OHIF on a free port.

    Attributes
    ----------
    url : str
        Its origin.
    """

    def __init__(self) -> None:
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Files, self))
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self.config = b""

    def show(self, server: str, **options: Any) -> None:
        """Point the viewer at a PACS's base URL; options go over those of the data source."""
        base = f"{server}/dicom-web"
        source = _SOURCE | {"qidoRoot": base, "wadoRoot": base, "wadoUriRoot": f"{server}/wado"} | options
        config = {
            "routerBasename": "/",
            "extensions": [],
            "modes": [],
            "showStudyList": True,
            "defaultDataSourceName": "pacs",
            "showWarningMessageForCrossOrigin": False,
            "showCPUFallbackMessage": False,
            "investigationalUseDialog": {"option": "never"},
            "dataSources": [
                {
                    "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb",
                    "sourceName": "pacs",
                    "configuration": source,
                }
            ],
        }
        self.config = f"window.config = {json.dumps(config)};".encode()

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._http.serve_forever)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


class _Files(SimpleHTTPRequestHandler):
    """The viewer's files; its configuration is ours, and all its pages are one."""

    def __init__(self, ohif: Ohif, *args: Any) -> None:
        self._ohif = ohif
        super().__init__(*args, directory=str(FOLDER))

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        if path == "/app-config.js":
            self.send_response(200)
            self.send_header("Content-Type", "text/javascript")
            self.send_header("Content-Length", str(len(self._ohif.config)))
            self.end_headers()
            self.wfile.write(self._ohif.config)
            return
        if not re.search(r"\.\w+$", path):
            self.path = "/index.html"
        super().do_GET()

    def end_headers(self) -> None:
        # What volumes need: shared memory between the page's threads.
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""
