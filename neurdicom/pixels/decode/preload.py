"""Loading the codecs before a worker has a plugin in it."""

import imagecodecs

#: Functions of imagecodecs, which imports what is behind them when they are first asked for. In a worker that is too
#: late: a plugin may have modules of its own that are called `types` or `enum`.
CODECS = (
    "htj2k_decode",
    "jpeg2k_decode",
    "jpeg8_decode",
    "jpeg8_encode",
    "jpegls_decode",
    "jpegsof3_decode",
    "packbits_decode",
    "png_encode",
    "webp_encode",
)

for _name in CODECS:
    getattr(imagecodecs, _name)
