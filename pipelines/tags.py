"""Tags that runs carry."""

TASK_TAG = "playbook/task"  # one run per task at a time
LAUNCHER_TAG = "playbook/launcher"  # `cli`: started by the command line, in its own process
TRIGGER_TAG = "playbook/trigger"  # what a sensor saw
ROUND_TAG = "playbook/round"  # the trigger that a retraining round is known by
ROLLBACK_TAG = "playbook/rollback"  # the task; a rollback does not queue behind a run of the task
