"""Contract suites and fault wrappers, shipped so that a third party can prove an adapter or a plugin."""
