"""Plugins and models run on what is stored."""

from neurdicom.services.process.service import ProcessService
from neurdicom.services.process.work import FORMATS, Processed, Work

__all__ = ["FORMATS", "ProcessService", "Processed", "Work"]
