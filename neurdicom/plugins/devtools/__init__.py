"""Tools for authors of plugins and models: templates, headers, packing, sample images, and `neurdicom plugin check`.

Owns the check and its report, as values; `cli` prints them. May import what plugins may, and `client`; nothing of the
server imports it.
"""
