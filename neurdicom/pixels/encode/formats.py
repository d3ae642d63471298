"""The formats of images: one table for the modules that encode, keep and offer them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ImageFormat:
    """A format of an image.

    Attributes
    ----------
    name : str
        Its name in requests.
    media_type : str
        Its media type.
    samples : str or None
        Type that all samples are converted to, as numpy writes it; None: they keep theirs, or are 8 bits of a picture.
    is_picture : bool
        It is compressed, from samples that are scaled to 8 bits.
    shows_one : bool
        It has one frame of a stack; the others have the whole.
    is_for_results : bool
        Results of plugins and models can be given in it.
    """

    name: str
    media_type: str
    samples: str | None = None
    is_picture: bool = False
    shows_one: bool = False
    is_for_results: bool = True


FORMATS = (
    ImageFormat("png", "image/png", is_picture=True, shows_one=True),
    ImageFormat("jpeg", "image/jpeg", is_picture=True, shows_one=True),
    ImageFormat("webp", "image/webp", is_picture=True, shows_one=True, is_for_results=False),
    ImageFormat("lum8", "application/octet-stream", "|u1", shows_one=True),
    ImageFormat("f32", "application/octet-stream", "<f4"),
    ImageFormat("f64", "application/octet-stream", "<f8"),
    ImageFormat("npy", "application/x-npy"),
)
MEDIA_TYPES = {each.name: each.media_type for each in FORMATS}
PICTURES = tuple(each.name for each in FORMATS if each.is_picture)
RAW = tuple(each.name for each in FORMATS if not each.is_picture)
SHOWING_ONE = frozenset(each.name for each in FORMATS if each.shows_one)
#: Types of the samples, of formats that have the whole of an image in one type.
WHOLE_SAMPLES = {each.name: each.samples for each in FORMATS if each.samples is not None and not each.shows_one}
OF_RESULTS = tuple(each.name for each in FORMATS if each.is_for_results)
