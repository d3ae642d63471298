"""Code that a worker process loads and calls: Python plugins, native libraries, builtin modules.

Owns the way from a call's arguments to the plugin and back to encoded results. Imports `workers.model`, `pixels`,
`dicom`, `errors` and the bridge, which is imported nowhere else.
"""
