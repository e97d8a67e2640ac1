"""Play 4: freeze, then unfreeze: activations cache, frozen head, rungs of the staircase."""
