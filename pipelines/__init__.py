"""Dagster definitions: one graph and one job per task file, and what starts them."""
