"""Commands of watching and retraining: `playbook monitor` and `retrain`."""

from __future__ import annotations

import click

COMMANDS: tuple[click.Command, ...] = ()
