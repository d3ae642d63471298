"""The DICOM upper layer and its messages: all that overrides pynetdicom or reaches into it."""
