"""Neural networks (ONNX) with their META.json: what a worker process does with one."""
