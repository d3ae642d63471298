"""Routes below the DICOMweb base: each path with the handlers of its methods, combined into one class.

`route(path, SearchStudies, StoreInstances)` answers GET by the first and POST by the second; each is a
`DicomWebHandler` with methods described by `@operation`.
"""

from neurdicom.dicomweb.base import BASE, DicomWebHandler
from neurdicom.dicomweb.bulk import Bulk
from neurdicom.dicomweb.capabilities import Capabilities
from neurdicom.dicomweb.frames import Frames
from neurdicom.dicomweb.metadata import Metadata
from neurdicom.dicomweb.rendered import Rendered, Thumbnail
from neurdicom.dicomweb.retrieve import Instances
from neurdicom.dicomweb.search import (
    SearchInstances,
    SearchInstancesOfSeries,
    SearchInstancesOfStudy,
    SearchSeries,
    SearchSeriesOfStudy,
    SearchStudies,
)
from neurdicom.dicomweb.store import Remove, StoreInstances
from neurdicom.dicomweb.wado_uri import WadoUri
from neurdicom.http.routing import Route

STUDY = "/studies/{study}"
SERIES = STUDY + "/series/{series}"
INSTANCE = SERIES + "/instances/{instance}"


def route(path: str, *handlers: type[DicomWebHandler], deep: bool = False) -> Route:
    """Make a route below the base, answered by the methods of several handlers.

    Parameters
    ----------
    path : str
        Path below the base, with `{name}` for parameters.
    *handlers : type of DicomWebHandler
        Handlers, each with other HTTP methods.
    deep : bool
        True if the last parameter may contain slashes.
    """
    name = "".join(handler.__name__ for handler in handlers)
    return Route(BASE + path, type(name, handlers, {"__doc__": f"`{BASE}{path}`."}), deep)


ROUTES = [
    route(STUDY, Instances, StoreInstances, Remove),
    route(SERIES, Instances, Remove),
    route(INSTANCE, Instances, Remove),
    route(STUDY + "/metadata", Metadata),
    route(SERIES + "/metadata", Metadata),
    route(INSTANCE + "/metadata", Metadata),
    route(INSTANCE + "/frames", Frames),
    route(INSTANCE + "/frames/{frames}", Frames),
    route("/studies", SearchStudies, StoreInstances),
    route("/series", SearchSeries),
    route("/instances", SearchInstances),
    route(STUDY + "/series", SearchSeriesOfStudy),
    route(STUDY + "/instances", SearchInstancesOfStudy),
    route(SERIES + "/instances", SearchInstancesOfSeries),
    route(INSTANCE + "/bulk/{path}", Bulk, deep=True),
    route(INSTANCE + "/bulkdata/{path}", Bulk, deep=True),
    *(
        route(f"{path}/{name}", handler)
        for path in (STUDY, SERIES, INSTANCE, INSTANCE + "/frames/{frames}")
        for name, handler in (("rendered", Rendered), ("thumbnail", Thumbnail))
    ),
    route("/wado", WadoUri),
    Route("/wado", WadoUri),
    route("", Capabilities),
]
