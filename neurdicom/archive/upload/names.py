"""File names as the sender gave them, made fit to be shown."""

_LONGEST = 255


def shown_name(name: str) -> str:
    """Give a name without control characters and lone surrogates, its last 255 characters if it is longer."""
    clean = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in name)
    return clean if len(clean) <= _LONGEST else "…" + clean[1 - _LONGEST :]
