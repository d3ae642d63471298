"""Preloading of the codecs, before a worker loads a plugin."""

import imagecodecs

#: Functions of imagecodecs, which imports their modules at first use. In a worker that is too late: a plugin may have
#: modules of its own that are called `types` or `enum`.
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
