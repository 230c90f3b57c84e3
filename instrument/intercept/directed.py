"""Interception for a block of code, whether a run is open or not."""

from collections.abc import Iterator
from contextlib import contextmanager

from instrument.intercept import session
from instrument.intercept.session import Destination
from instrument.intercept.switch import install, uninstall


@contextmanager
def directed(destination: Destination) -> Iterator[None]:
    """A block whose calls are recorded at `destination`, and in no run.

    Threads that are started inside it do not inherit that.
    """
    install(None)
    token = session.own.set(destination)
    try:
        yield
    finally:
        session.own.reset(token)
        uninstall()
