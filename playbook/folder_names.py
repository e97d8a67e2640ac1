"""Folders that every library can be given: names that one of them would read as something else are refused.

State lies in folders whose paths are put into URLs, globs, templates and configuration of the libraries. What can be
quoted there is quoted; what a library itself puts there unquoted cannot be, so such a name is refused before anything
is written.
"""

from __future__ import annotations

import unicodedata
from pathlib import Path

from playbook.errors import SettingsError

# What cannot stand in the path of a state folder, and who reads it as something else.
REFUSED = {
    "%": "Dagster and MLflow put the path into a URL, where it begins an escape",
    "?": "Dagster and MLflow put the path into a URL, which it ends; Dagster looks for its configuration with a glob",
    "*": "Dagster looks for its configuration with a glob, and without it telemetry would be on",
    "[": "Dagster looks for its configuration with a glob, and without it telemetry would be on",
    "{": "DVC reads it as a template",
    "}": "DVC reads it as a template",
    "\\": "DVC reads it as the end of a folder's name",
    "::": "fsspec reads it as a chain of two addresses",
}


def require_plain_folder(path: Path, variable: str) -> Path:
    """The path, if every library can be given it.

    Raises:
        SettingsError: it has characters that a library reads as something else; all of them are named.
    """
    text = str(path)
    found = [f"{name!r} ({why})" for name, why in REFUSED.items() if name in text]
    if controls := control_characters(text):
        found.append(f"{controls} (control characters end lines of configuration)")
    if found:
        raise SettingsError(
            f"{variable}: expected a folder whose path has none of {' '.join(REFUSED)} and no control character, found "
            f"{text!r} with {'; '.join(found)}; set {variable} to another folder"
        )
    return path


def control_characters(text: str) -> str:
    """Code points of the control characters in a path, and of bytes that are not UTF-8; empty where there are none."""
    return ", ".join(sorted({f"U+{ord(c):04X}" for c in text if unicodedata.category(c) in ("Cc", "Cs")}))
