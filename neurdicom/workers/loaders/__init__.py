"""What a worker process loads and calls: Python plugins, native libraries, and the pixels they get."""
