"""The six plays of transfer learning as plain Python: no orchestrator, tracker or gate engine is imported here."""

__version__ = "0.1.0"
