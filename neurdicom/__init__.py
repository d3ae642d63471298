"""NeurDICOM: a RESTful DICOM server that runs plugins where the images are.

Owns the version. Imports nothing: each part names what it may import, and docs/decisions/layout.md their order.
"""

__version__ = "0.1.0"
