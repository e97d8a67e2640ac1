"""Play 1: reference baselines."""
