"""Labels of patients, studies, series and instances.

Imports from the catalog and `dicom`; of the archive only `lookup`.
"""
