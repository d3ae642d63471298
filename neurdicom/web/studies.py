"""Routes of studies: lists, one, edit, delete, and what lies below."""

from neurdicom.dicom.query.attributes import Level
from neurdicom.web.entities import entity_routes

ROUTES = entity_routes(Level.STUDY)
