"""Commands of a model in use: `playbook serve`, `predict` and `outcomes`."""

from __future__ import annotations

import click

COMMANDS: tuple[click.Command, ...] = ()
