"""Tools for authors of plugins and models: templates, headers, packing, sample images, and `neurdicom plugin check`.

It owns the check and its report, as values; `cli` prints them. It may import what plugins may, and `client`; nothing of
the server imports it.
"""
