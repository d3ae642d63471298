"""What the REST API and DICOMweb share of HTTP: the base handler, routes, problem details, downloads, ranges, CORS."""
