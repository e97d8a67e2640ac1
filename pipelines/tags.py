"""Tags that runs carry."""

TASK_TAG = "playbook/task"  # one run per task at a time
LAUNCHER_TAG = "playbook/launcher"  # `cli`: started by the command line, in its own process
TRIGGER_TAG = "playbook/trigger"  # what a sensor saw
