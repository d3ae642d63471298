"""Neural networks (ONNX) with their META.json, as a worker process runs them.

Owns their manifest, inspection, pre- and postprocessing. Imports `workers.packages`, `pixels`, `schema` and `errors`;
onnxruntime is imported nowhere else.
"""
