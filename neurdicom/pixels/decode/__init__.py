"""Stored Pixel Data to arrays: where frames lie, which codec decodes them, what the Image Pixel module says."""
