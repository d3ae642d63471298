"""JSON Schema: declarations of JSON values in requests, and the errors for values that do not meet them.

The one place that imports jsonschema and jsonschema-rs. It stands low in the layout, so that the component that owns a
request declares it; the web describes its routes with the same object. It may import `errors` alone.
"""

from neurdicom.schema.declaration import Checked, Declaration
from neurdicom.schema.texts import CHOSEN_BY, NAMED, UNSHOWN, Schema

__all__ = ["CHOSEN_BY", "NAMED", "UNSHOWN", "Checked", "Declaration", "Schema"]
