"""One call of a program: how urgent it is."""

from enum import StrEnum


class Priority(StrEnum):
    """Order in which waiting calls of a program get a worker; the first goes first."""

    INTERACTIVE = "interactive"
    BACKGROUND = "background"
