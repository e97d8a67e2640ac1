"""Commands of versions in production: `playbook versions`, `rollback` and `reproduce`."""

from __future__ import annotations

import click

COMMANDS: tuple[click.Command, ...] = ()
