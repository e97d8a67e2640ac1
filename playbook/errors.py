"""Every error that playbook raises on purpose.

PlaybookError
├── TaskFileError        the task file has faults (all of them listed)                    exit status 2
├── DataError            the data source cannot be read or understood                     exit status 1
├── StorageError         data cannot be stored or is held by another process              exit status 1
├── GateRed              the data gate is red: nothing may be trained on this version     exit status 3
├── PinMismatch          base weights or a licence are not what the task file pins        exit status 1
├── ArtifactError        a stored result is missing, altered, or of another kind          exit status 1
├── LogTampered          the decision log is not what was written                         exit status 1
├── SettingsError        an environment variable holds what it cannot                    exit status 2
├── TaskBusy             another run holds this task                                      exit status 1
├── TrainingFailed       the training worker ended without a result                       exit status 1
├── SignatureRefused     an SSH signature does not prove what it should                   exit status 1
├── ApprovalRefused      a sign-off, rejection or waiver may not be recorded              exit status 1
├── PromotionRefused     a model version may not go into production, or not back          exit status 1
├── NotReproduced        the same recipe came to other weights                            exit status 1
└── ParityError          a reloaded model answers differently from the trained one        exit status 1

A message says what was expected, what was found and what to do.
"""

from collections.abc import Sequence


class PlaybookError(Exception):
    """Root of the tree; `exit_status` is what the command line ends with."""

    exit_status = 1


class TaskFileError(PlaybookError):
    """The task file has faults; `faults` lists every one of them."""

    exit_status = 2

    def __init__(self, source: str, faults: list[str]) -> None:
        self.source = source
        self.faults = list(faults)
        count = f"{len(faults)} fault{'s' if len(faults) != 1 else ''}"
        super().__init__(f"{source}: {count}\n" + "\n".join(f"  {fault}" for fault in faults))


class SettingsError(PlaybookError):
    """An environment variable of the project holds a value that it cannot hold."""

    exit_status = 2


class DataError(PlaybookError):
    """The data source cannot be read, or lacks what the task file names."""


class StorageError(PlaybookError):
    """The data is fine, but DVC's repository or its remote cannot take it now."""


class GateRed(PlaybookError):
    """The dataset version did not pass its gate, so no play may train on it."""

    exit_status = 3


class PinMismatch(PlaybookError):
    """The base found on disk is not the base that the task file pins."""


class ArtifactError(PlaybookError):
    """A stored result is missing, was altered after it was written, or is of another kind."""


class LogTampered(PlaybookError):
    """A line of the decision log was edited, taken out or moved, or the tail was cut off."""


class TaskBusy(PlaybookError):
    """Another run of the same task is under way."""


class TrainingFailed(PlaybookError):
    """The training worker ended without a result."""


class SignatureRefused(PlaybookError):
    """An SSH signature does not prove that the right person signed exactly this."""


class ApprovalRefused(PlaybookError):
    """A sign-off, rejection or waiver may not be recorded; `reasons` lists everything that stands against it."""

    def __init__(self, what: str, reasons: Sequence[str]) -> None:
        self.reasons = tuple(reasons)
        super().__init__(f"{what}\n" + "\n".join(f"  {reason}" for reason in reasons))


class TermsLocked(PlaybookError):
    """A test split was opened under other terms than the task file's; `text` says which, `steps` what can be done."""

    def __init__(self, text: str, steps: Sequence[str]) -> None:
        self.text, self.steps = text, tuple(steps)
        super().__init__("\n".join((text, *(f"  {step}" for step in steps))))


class PromotionRefused(PlaybookError):
    """A version may not be promoted or rolled back to; `reasons` lists everything that stands against it."""

    def __init__(self, what: str, reasons: Sequence[str]) -> None:
        self.reasons = tuple(reasons)
        super().__init__(f"{what}\n" + "\n".join(f"  {reason}" for reason in reasons))


class NotReproduced(PlaybookError):
    """A handoff package cannot be reproduced from what lies here, or came to other weights."""


class ParityError(PlaybookError):
    """A packaged model, loaded again in a clean process, answers differently."""
