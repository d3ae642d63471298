"""Arrays to pictures, raw samples and compressed frames."""
