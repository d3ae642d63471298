"""Tools for authors of plugins: a start, the archive, sample images, and the check that a server's upload can't be."""
