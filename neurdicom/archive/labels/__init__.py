"""Labels of patients, studies, series and instances: their documents, and what is done with them.

Imports from the catalog and `dicom`; of the archive only `lookup`.
"""
