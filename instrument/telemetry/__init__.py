"""What the hardware does while a run goes on.

One thread samples; each *probe* reads one kind of hardware. `HardwareMonitor` is the face for
people, `Sampler` the one for a run.
"""

from instrument.telemetry.monitor import HardwareMonitor
from instrument.telemetry.roster import is_first_on_node
from instrument.telemetry.sampler import Sampler

__all__ = ["HardwareMonitor", "Sampler", "is_first_on_node"]
