"""Plugins and models run on what is stored."""

from neurdicom.processing.service import ProcessService
from neurdicom.processing.work import FORMATS, Processed, Work

__all__ = ["FORMATS", "ProcessService", "Processed", "Work"]
