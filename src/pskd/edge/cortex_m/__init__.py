"""The C student on a Cortex-M under qemu: flash, RAM, stack, instructions a window, answers."""

from pskd.edge.cortex_m.measure import BOARDS, CortexM, measure

__all__ = ["BOARDS", "CortexM", "measure"]
