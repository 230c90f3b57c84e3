"""What the rooms promise each other. Each promise is checked by `instrument.testing`.

A *store* keeps everything and answers questions: it is `Records` (through `Store.begin`),
`Objects`, `Versions` and `Catalogue` in one. A *mirror* repeats what a store has; it is fed from
the store's journals and confirms nothing that it does not have.
"""

from instrument.protocols.mirror import Mirror, MirrorRecords
from instrument.protocols.packing import Packing, Packs, Part, Usage
from instrument.protocols.store import (
    Catalogue,
    Clock,
    Damage,
    Draft,
    Objects,
    Recorder,
    Records,
    Store,
    Verification,
    Versions,
)

__all__ = [
    "Catalogue",
    "Clock",
    "Damage",
    "Draft",
    "Mirror",
    "MirrorRecords",
    "Objects",
    "Packing",
    "Packs",
    "Part",
    "Recorder",
    "Records",
    "Store",
    "Usage",
    "Verification",
    "Versions",
]
