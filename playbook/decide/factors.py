"""What the decision gate asks about (1.3, 1.4): four variables, and the seven factors in which the paths are compared.

docs/decision.md has the matrix: what each path needs of each factor, and what it can give.
"""

from __future__ import annotations

# The four variables (1.3).
NOVELTY = "task novelty"
VOLUME = "data volume"
COMPUTE = "compute budget"
CONTROL = "latency and control"
VARIABLES = (NOVELTY, VOLUME, COMPUTE, CONTROL)

# The seven factors (1.4).
LABELS = "labels"  # are they clean, what do more cost
BASE = "pretrained base"  # is there one, how far is it from the texts
LACK = "what the model lacks"  # knowledge, reasoning or judgement; a new capability or changed behaviour
TIME = "time to delivery"
PEOPLE = "people"
PLACE = "place and privacy"
CEILING = "performance ceiling"  # what each path was seen to reach, against the target
FACTORS = (LABELS, BASE, LACK, TIME, PEOPLE, PLACE, CEILING)

RIGHTS = "licences and ownership"  # hard limits (1.6), no factor
