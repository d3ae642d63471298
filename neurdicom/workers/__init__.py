"""Plugins in processes of their own: archives, registry, workers and the native bridge."""
