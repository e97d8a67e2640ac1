"""The plays as Dagster assets: one module per play, one graph per task."""
