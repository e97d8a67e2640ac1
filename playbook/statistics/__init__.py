"""Statistics that every play shares: metrics, intervals, sample sizes. Knows the task file, and no play."""
