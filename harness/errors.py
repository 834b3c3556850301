"""Every exception that harness raises on purpose.

    HarnessError
    ├── InputError               what the user gave is wrong: exit code 2
    │   ├── ScenarioError        a scenario file, with all its problems and their places
    │   ├── DataError            a data file or its schema
    │   │   └── DataValidationError   data that a gate from Python refused, with all that is wrong
    │   ├── InvalidModelMetadataError   what was said of a model to be registered
    │   └── ArtifactError        a model file that cannot or must not be loaded
    ├── BackendError             something the run depends on failed: exit code 3
    │   ├── RegistryError
    │   │   ├── NotRegistered    there is no such model, alias or version
    │   │   │   └── ModelNotFoundError   the same, of the registry of one's own
    │   │   └── Unreachable      it gave no answer, or none to us
    │   ├── RoutingError
    │   ├── ServingError
    │   │   └── EndpointError    a model's endpoint refused a request, or gave no answer that can be used
    │   └── NotificationError    people could not be told
    ├── DeploymentError          a deployment from Python did not end with the candidate in service
    │   └── CanaryDeploymentError
    ├── RollbackError            there is no way back, or it could not be verified: a person must look
    ├── ModelPromotionError      a version may not take the stage that it was to have
    ├── Rejected                 a stage before deployment said no: the run ends `rejected`
    ├── ClockError               virtual time cannot go on
    │   └── Deadlock             everything waits and no timer is set
    ├── RuleViolation            a rollout asked for what must never be; a defect of its strategy
    ├── LeaseError               another harness drives the rollout: exit code 3
    │   └── LeaseLost            it was ours, and is not any more: nothing may be done or written
    └── LogError                 an event log that cannot be written or read: exit code 3

Callers catch a branch of this tree. Each message says what to change.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


class HarnessError(Exception):
    """Anything that harness raises on purpose."""


class InputError(HarnessError):
    """What the user gave is wrong; the message says where and what is allowed."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in an input file, with its place.

    >>> print(Problem("canary.yaml", 14, 9, "rollout.steps[2].weight is 120%; a weight is a share from 0% to 100%"))
    canary.yaml:14:9: rollout.steps[2].weight is 120%; a weight is a share from 0% to 100%
    """

    file: str
    line: int
    """Counted from 1; 0 where the problem has no line (a missing file)."""
    column: int
    """Counted from 1."""
    message: str

    def __str__(self) -> str:
        """The place as editors and compilers write it, then the message."""
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {self.message}"


class ScenarioError(InputError):
    """A scenario cannot be used; carries every problem found, in the order of the file."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class DataError(InputError):
    """A data file or its schema cannot be used."""


class DataValidationError(DataError):
    """Data that a gate refused; carries every error."""

    def __init__(self, errors: Sequence[str] | str) -> None:
        self.errors = (errors,) if isinstance(errors, str) else tuple(errors)
        super().__init__("\n".join(self.errors))


class InvalidModelMetadataError(InputError):
    """What was said of a model to be registered cannot be used; carries every error."""

    def __init__(self, errors: Sequence[str] | str) -> None:
        self.errors = (errors,) if isinstance(errors, str) else tuple(errors)
        super().__init__("\n".join(self.errors))


class ArtifactError(InputError):
    """A model file cannot be loaded, or holds types that must not be loaded untrusted."""


class BackendError(HarnessError):
    """Something that the run depends on failed."""


class RegistryError(BackendError):
    """The model registry refused or lacks what was asked."""


class NotRegistered(RegistryError):
    """The model registry holds no such model, alias or version."""


class ModelNotFoundError(NotRegistered):
    """The registry of one's own holds no such model, version or stage."""


class Unreachable(RegistryError):
    """The model registry gave no answer, or none to this user: what it holds is not known."""


class RoutingError(BackendError):
    """The router refused what was asked."""


class ServingError(BackendError):
    """The serving platform refused what was asked."""


class UnreadyError(ServingError):
    """A candidate's replicas will not get ready by themselves: it is taken back, like any that was found bad."""


class EndpointError(ServingError):
    """A model's endpoint refused a request, or gave no answer that can be used; the message has its own words."""

    def __init__(self, message: str, status: int | None = None) -> None:
        self.status = status
        """Of HTTP; None where what came was no HTTP, or nobody was trusted to answer."""
        super().__init__(message)


class NotificationError(BackendError):
    """A channel did not take a message; what goes on is never held up by it."""


class ModelPromotionError(HarnessError):
    """A version may not take the stage that it was to have; carries what was checked."""

    def __init__(self, message: str, validation: Any = None) -> None:
        self.validation = validation
        """The `ModelPromotionValidation`; None where there was none."""
        super().__init__(message)


class Rejected(HarnessError):
    """A stage before deployment said no; the message is the run's reason."""


class _Ended(HarnessError):
    """A run that did not end as it was to."""

    def __init__(self, message: str, result: Any = None) -> None:
        self.result = result
        """The run's `Result`; None where there was none."""
        super().__init__(message)


class DeploymentError(_Ended):
    """A deployment did not end with the candidate in service; the message says why."""


class CanaryDeploymentError(DeploymentError):
    """A canary did not end with the candidate in service; the message says why."""


class RollbackError(_Ended):
    """There is no version to go back to, or it could not be verified; the message says where traffic is."""


class ClockError(HarnessError):
    """Virtual time cannot go on."""


class Deadlock(ClockError):
    """Everything waits and no timer is set; the message names the waiting tasks."""


class RuleViolation(HarnessError):
    """A rollout asked for what must never be (weights that do not sum to the whole, an arm that is not ready)."""


class LeaseError(HarnessError):
    """Another harness drives the rollout; the message names its run and process."""


class LeaseLost(LeaseError):
    """Another harness has taken the rollout over: this one may neither act nor write any more."""


class LogError(HarnessError):
    """An event log cannot be written, or read; the message names its file, and the line."""
