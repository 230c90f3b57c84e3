"""Mirrors: other backends repeat what the store has, while a run is recorded or later.

A live mirror runs in a process of its own (`start_follower`), which reads the run's journals. It
can be slow, hang, crash or lack its library: the run does not notice. `sync_run` sends a run
later, through the same `feed`.
"""

from instrument.mirroring.feed import MirrorReport, feed
from instrument.mirroring.follower import Follower, start_follower
from instrument.mirroring.sync import sync_run

__all__ = ["Follower", "MirrorReport", "feed", "start_follower", "sync_run"]
