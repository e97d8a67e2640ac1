"""What all tests share: telemetry off, unpickling refused."""

from __future__ import annotations

from playbook.settings import quiet_environment

quiet_environment()
