"""Routes of pixels: the rendered picture, and raw samples."""

from functools import lru_cache

from neurdicom.archive.render import ImageOptions, RenderService
from neurdicom.errors import NotAvailable
from neurdicom.http.accept import Offer, parse_accept
from neurdicom.http.base import ApiHandler
from neurdicom.http.downloads import send_buffer
from neurdicom.http.operation import BINARY, operation
from neurdicom.http.parameters import ParameterGroup, choice_parameter, integer_parameter, number_parameter
from neurdicom.http.routing import Route
from neurdicom.pixels.encode.formats import PICTURES, RAW
from neurdicom.workers.pool import Reply

_LARGEST_SIZE = 16384

_FRAME = integer_parameter("frame", "Frame number, from 1.", 1, low=1, high=2**31 - 1)
_FORMAT = choice_parameter("format", "Format of the picture. By default the Accept header decides.", PICTURES, None)
_WINDOW = ParameterGroup(
    "window",
    "Window in place of that in the file; both or none are given.",
    [
        number_parameter("window_center", "Window centre in modality units; needs window_width."),
        number_parameter("window_width", "Window width in modality units; needs window_center.", above=0),
    ],
)
_COLUMNS = integer_parameter(
    "width",
    "Width of the picture in pixels. With one of width and height the other follows; with both the picture fits into "
    "them. The proportions are those of what it shows, by Pixel Spacing or Pixel Aspect Ratio.",
    None,
    low=1,
    high=_LARGEST_SIZE,
)
_ROWS = integer_parameter("height", "Height of the picture in pixels; see width.", None, low=1, high=_LARGEST_SIZE)
_RAW_FORMAT = choice_parameter("format", "Format of the samples. By default they keep their own type.", RAW, None)
_IMAGE = {
    "description": "The picture.",
    "content": {f"image/{name}": {"schema": BINARY} for name in PICTURES},
}
_RAW = {
    "description": (
        "The samples, in little endian, row by row, colour interleaved. `X-Shape` is rows,columns or "
        "rows,columns,samples; `X-Dtype` is numpy's name of the samples' type; `X-Photometric-Interpretation` is their "
        "photometric interpretation (PS3.3 C.7.6.3.1.2)."
    ),
    "content": {"application/octet-stream": {"schema": BINARY}, "application/x-npy": {"schema": BINARY}},
}


class _PixelsHandler(ApiHandler):
    """Base of handlers that send pixels which a worker has read or rendered."""

    stops_with_client = True

    async def _send(self, reply: Reply) -> None:
        self.set_header("Content-Type", reply.meta["media_type"])
        await send_buffer(self, reply.body)
        self.finish()

    def compute_etag(self) -> str | None:
        """Return no validator: hashing large frames would hold the event loop."""
        return None


class ImageHandler(_PixelsHandler):
    """Handler of the picture of one frame."""

    renderer: RenderService

    @operation(
        "Render a frame as a picture",
        tag="pixels",
        description=(
            "Modality LUT, VOI LUT, photometric interpretation and palette are applied. Without a window in the file "
            "or the request, the frame's minimum becomes black and its maximum white."
        ),
        query=[_FORMAT, _FRAME, _WINDOW, _COLUMNS, _ROWS],
        answers={200: _IMAGE},
    )
    async def get(self, instance: str) -> None:
        """Send the picture of a frame."""
        window = _WINDOW.of(self)
        options = ImageOptions(
            format=self._format(),
            frame=_FRAME.of(self),
            window=(window[0], window[1]) if window else None,
            width=_COLUMNS.of(self),
            height=_ROWS.of(self),
        )
        await self._send(await self.renderer.image(instance, options))

    def _format(self) -> str:
        given = _FORMAT.of(self)
        if given is not None:
            return given
        self.vary("Accept")
        return _accepted(self.request.headers.get("Accept", ""))


class RawHandler(_PixelsHandler):
    """Handler of the stored samples of one frame."""

    renderer: RenderService

    @operation(
        "Get the stored samples of a frame",
        tag="pixels",
        description=(
            "Stored values are decoded, without modality or VOI LUT; colour is RGB. `lum8` is grey, scaled from "
            "minimum and maximum to 8 bits; `f32`, `f64` and `npy` keep the values."
        ),
        query=[_RAW_FORMAT, _FRAME],
        answers={200: _RAW},
    )
    async def get(self, instance: str) -> None:
        """Send the samples of a frame."""
        reply = await self.renderer.raw(instance, frame=_FRAME.of(self), format=_RAW_FORMAT.of(self))
        self.set_header("X-Shape", ",".join(map(str, reply.meta["shape"])))
        self.set_header("X-Dtype", reply.meta["dtype"])
        self.set_header("X-Photometric-Interpretation", reply.meta["photometric_interpretation"])
        await self._send(reply)


@lru_cache(maxsize=64)
def _accepted(header: str) -> str:
    """Choose the format that an Accept header (RFC 9110 12.5.1) prefers; the first where it has no preference."""
    accepted = parse_accept(header)

    def weight(name: str) -> float:
        offer = Offer(f"image/{name}")
        return max(((each.specificity, each.quality) for each in accepted if each.meets(offer)), default=(0, 0.0))[1]

    # A browser that opens the address directly lists the formats that it can show, without preferring one.
    is_page = any(each.media_type == "text/html" for each in accepted) and weight(PICTURES[0]) > 0
    best = PICTURES[0] if is_page else max(PICTURES, key=weight)
    if weight(best) <= 0:
        possible = ", ".join(f"image/{name}" for name in PICTURES)
        raise NotAvailable(f"Accept is {header[:500]!r}; {possible} are available")
    return best


ROUTES = [
    Route("/api/instances/{id}/image", ImageHandler),
    Route("/api/instances/{id}/raw", RawHandler),
]
