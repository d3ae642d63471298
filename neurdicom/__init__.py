"""NeurDICOM: a RESTful DICOM server that runs plugins where the images are."""

__version__ = "0.1.0"
