"""The one reader of tables: CSV, JSON Lines and Parquet, every value as text, every record of a file accounted for.

A record is read, or it is set aside with its lines and the reason, or the file is refused with an error that names the
line and the remedy. Kind, encoding, delimiter and quotation marks are found in the content where the task file does
not set them, and what was found is said.
"""

from playbook.data.formats.reader import read_bytes, read_records
from playbook.data.formats.records import PLAIN, Form, Quoting, Records, Rejected

__all__ = ["PLAIN", "Form", "Quoting", "Records", "Rejected", "read_bytes", "read_records"]
