"""Measurements against a peer in the same run; see README.md."""
