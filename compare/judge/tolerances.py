"""What the gate takes for no difference, by default."""

from __future__ import annotations

ATOL = 1e-5  # an error below it is float noise of training, not accuracy: machines differ there
RTOL = 0.25  # what one would call worse: a quarter, well below the factor two that matters to a reader
FALSE_ALARMS = 0.02  # of a whole comparison, all its cases together
POWER = 0.9  # with which an error that doubles is to be seen
