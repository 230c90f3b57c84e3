"""A run as one value, folded from its records.

The fold is a pure function of the journals: each journal is read in its own order, and what
several journals say is merged in the order of the journals' names, metrics by their time.
"""

from instrument.summary.folding import summarise
from instrument.summary.life import UNRECORDED
from instrument.summary.run import Recording, RunSummary

__all__ = ["UNRECORDED", "Recording", "RunSummary", "summarise"]
