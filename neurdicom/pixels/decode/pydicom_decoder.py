"""pydicom decoding plugin with our codecs, so that `ds.pixel_array` decodes whatever the server decodes."""

from dataclasses import replace

from pydicom.pixels.common import PhotometricInterpretation
from pydicom.pixels.decoders.base import DecodeRunner, get_decoder
from pydicom.uid import UID

from neurdicom.dicom.codec.transfer_syntaxes import DEFLATED_FRAME
from neurdicom.errors import NotAvailable
from neurdicom.pixels.decode.codecs import CODECS, RLE, decode
from neurdicom.pixels.decode.image_pixel import ImagePixel

_LABEL = "neurdicom"

#: Required by pydicom of each decoding plugin: Transfer Syntax UID to the packages that it needs.
DECODER_DEPENDENCIES = {UID(uid): ("imagecodecs",) for uid in CODECS}


def register_codecs() -> None:
    """Make our codecs the only ones that pydicom uses in this process. Idempotent.

    pydicom's own are removed: some of GDCM's end the process on malformed input.
    """
    for uid in CODECS:
        # pydicom has no decoder for Deflated Image Frame Compression, and JPIP and part 2 of JPEG 2000.
        if uid == DEFLATED_FRAME:
            continue
        try:
            decoder = get_decoder(UID(uid))
        except NotImplementedError:
            continue
        if _LABEL in decoder.available_plugins:
            continue
        for label in decoder.available_plugins:
            decoder.remove_plugin(label)
        decoder.add_plugin(_LABEL, (__name__, "decode_frame"))


def is_available(uid: str) -> bool:
    """Tell pydicom that the codecs for a transfer syntax are installed."""
    return uid in CODECS


def decode_frame(src: bytes, runner: DecodeRunner) -> bytes:
    """Decode a frame for pydicom, and set the runner's options to the form of the output.

    Returns
    -------
    bytes
        Little-endian samples, colour interleaved as RGB.
    """
    form = ImagePixel(
        rows=runner.rows,
        columns=runner.columns,
        samples=runner.samples_per_pixel,
        frames=runner.number_of_frames,
        bits_allocated=runner.bits_allocated,
        bits_stored=runner.bits_stored,
        high_bit=runner.bits_stored - 1,
        signed=runner.pixel_representation == 1,
        planar=False,
        photometric=str(runner.photometric_interpretation),
    )
    if form.bits_stored == 1 and str(runner.transfer_syntax) == RLE and _is_packed(src, form):
        # pydicom's Bits Allocated is 8 where that of the file is 1.
        form = replace(form, bits_allocated=1)
    pixels = decode(src, form, str(runner.transfer_syntax))
    runner.set_option("bits_allocated", pixels.dtype.itemsize * 8)
    if form.samples == 3:
        runner.set_option("photometric_interpretation", PhotometricInterpretation.RGB)
        runner.set_option("planar_configuration", 0)
    return pixels.astype(pixels.dtype.newbyteorder("<"), copy=False).tobytes()


def _is_packed(src: bytes, form: ImagePixel) -> bool:
    try:
        decode(src, form, RLE)
    except NotAvailable:
        return True
    return False
