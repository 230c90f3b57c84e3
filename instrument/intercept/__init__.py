"""Interception: what libraries really load and call, recorded from the calls themselves.

An *interceptor* wraps calls of one library. Nothing is imported by us: a library is patched when
the program imports it, and the patches are taken out when the last run is closed.
`docs/interception.md` says what is recorded, and how to add an interceptor.
"""

from instrument.intercept.libraries import Library
from instrument.intercept.session import Destination
from instrument.intercept.switch import complete, install, uninstall
from instrument.intercept.targets import Around, Target

__all__ = ["Around", "Destination", "Library", "Target", "complete", "install", "uninstall"]
