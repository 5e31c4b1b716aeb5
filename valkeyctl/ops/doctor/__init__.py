"""What this machine lacks for a server that one can trust: looked at, never changed."""

from valkeyctl.ops.doctor.examine import Diagnosis, examine
from valkeyctl.ops.doctor.finding import Finding
from valkeyctl.ops.doctor.machine import Machine, ThisMachine

__all__ = ["Diagnosis", "Finding", "Machine", "ThisMachine", "examine"]
