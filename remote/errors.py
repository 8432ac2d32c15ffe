"""The exception tree of `remote`: every failure names the thing and the cause, and carries what the user does next.

Printing them, and deciding whether to try again, is left to the caller.
"""

from __future__ import annotations

from typing import ClassVar


class RemoteError(Exception):
    """A failure of this package, told to a person.

    `message` is one sentence: the thing and the cause. `hint` says what the user does next ("" when there is nothing
    to say). `retryable` is true when the same call may succeed later without anybody changing anything, `unconfirmed`
    when nobody knows whether the act took effect. `exit_code` is the one of the command line: 1 failed, 2 usage,
    3 refused by a guard, 4 unreachable.
    """

    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False
    unconfirmed: ClassVar[bool] = False

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


class ConfigError(RemoteError):
    """Something the user wrote or set up is wrong: a setting, a key file, a provider's name."""

    exit_code = 2


class Occupied(RemoteError):
    """Another process of this workspace is doing the same thing at this moment."""

    exit_code = 3
    retryable = True


# --- providers ---------------------------------------------------------------------------------------------------


class ProviderError(RemoteError):
    """A provider refused or failed an operation.

    `op` is the operation ("start"), `status` the HTTP status where there was one, `title`, `detail` and `errors` are
    the provider's own words, already redacted.
    """

    def __init__(
        self,
        message: str,
        hint: str = "",
        *,
        op: str = "",
        status: int | None = None,
        title: str = "",
        detail: str = "",
        errors: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message, hint)
        self.op = op
        self.status = status
        self.title = title
        self.detail = detail
        self.errors = errors


class AuthError(ProviderError):
    """The provider does not accept the API key."""


class AccessDenied(ProviderError):
    """The key is good but may not do this."""


class InsufficientFunds(ProviderError):
    """The balance does not cover the operation."""


class NotFound(ProviderError):
    """No such pod (any more), or not ours."""


class Conflict(ProviderError):
    """The pod's present status forbids the operation: read it again before anything else."""


class ApiRetired(ProviderError):
    """The provider took this version of its API out of service."""


class InvalidBody(ProviderError):
    """We sent something malformed. Never retried."""


class RuleBroken(ProviderError):
    """The request breaks a rule of the provider."""


class NoCapacity(ProviderError):
    """No machine of the asked kind is free."""

    retryable = True


class NoCapacityOnHost(NoCapacity):
    """The stopped pod's machine has no free GPU at present."""


class RateLimited(ProviderError):
    """The request quota is used up. `retry_after` is in seconds, None when the provider did not say."""

    retryable = True

    def __init__(self, message: str, hint: str = "", *, retry_after: float | None = None, op: str = "") -> None:
        super().__init__(message, hint, op=op, status=429)
        self.retry_after = retry_after


class ProviderUnavailable(ProviderError):
    """The provider did not answer, or not in its own language."""

    exit_code = 4
    retryable = True


class OutcomeUnknown(ProviderError):
    """The request left and no answer came: it may or may not have taken effect. Look before doing it again."""

    unconfirmed = True


# --- SSH ---------------------------------------------------------------------------------------------------------


class SshError(RemoteError):
    """The SSH link could not be made or broke."""

    exit_code = 4
    retryable = True


class NoEndpoint(SshError):
    """The pod has no SSH address at present."""


class ConnectFailed(SshError):
    """Nobody answered at the pod's address, or the handshake failed."""


class NoSshServer(ConnectFailed):
    """Something answers at the pod's address, or refuses, but no SSH server: none in the image, or not started yet."""


class AuthRejected(SshError):
    """The pod does not accept our key."""

    retryable = False


class HostKeyUnverified(SshError):
    """No fingerprint is known for this pod session, so nothing is sent to it."""

    retryable = False


class HostKeyMismatch(SshError):
    """The host key is not the pinned one: hard stop."""

    retryable = False


class ConnectionLost(SshError):
    """An established connection ended before its work did. `why` is the transport's reason."""

    unconfirmed = True

    def __init__(self, message: str, hint: str = "", *, why: str = "") -> None:
        super().__init__(message, hint)
        self.why = why


class DeadlineExceeded(SshError):
    """The link holds but the command did not end in its time."""

    unconfirmed = True


# --- agent and jobs ----------------------------------------------------------------------------------------------


class AgentError(RemoteError):
    """The agent on the pod could not be used."""


class PythonMissing(AgentError):
    """The pod's image has no usable Python."""


class ProtocolMismatch(AgentError):
    """The agent on the pod speaks another version than we do."""


class AgentFailed(AgentError):
    """The agent ran and failed."""


class JobError(RemoteError):
    """A detached job could not be started, found or ended."""


class AlreadyRan(JobError):
    """This run id and attempt was started before; it is never started twice."""


class LaunchUnconfirmed(JobError):
    """The launch was sent and not confirmed. Asking again with the same id is safe."""

    retryable = True
    unconfirmed = True


class Busy(JobError):
    """Another run is alive on this pod."""

    exit_code = 3


class SetupError(RemoteError):
    """The pod could not be made ready for the pipeline.

    `step` is where it ended ("preflight", "environment", "model"), `last` the last lines of the program that failed.
    """

    def __init__(self, message: str, hint: str = "", *, step: str = "", last: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint)
        self.step = step
        self.last = last


# --- sync --------------------------------------------------------------------------------------------------------


class SyncError(RemoteError):
    """Files could not be moved."""


class UnsafePush(SyncError):
    """The push would do something nobody would want, such as an empty tree."""

    exit_code = 3


class SecretFound(SyncError):
    """A file to be pushed holds what looks like a secret."""

    exit_code = 3


class HashMismatch(SyncError):
    """The bytes that arrived are not the bytes that were sent."""

    retryable = True


class UnsafePath(SyncError):
    """A path from the other side would leave the folder it belongs to."""


class DiskFull(SyncError):
    """No space is left. `where` is the path that could not be written."""

    def __init__(self, message: str, hint: str = "", *, where: str = "") -> None:
        super().__init__(message, hint)
        self.where = where


# --- guards ------------------------------------------------------------------------------------------------------


class GuardError(RemoteError):
    """A safety rule refuses the operation. `paths` are the files it is about."""

    exit_code = 3

    def __init__(self, message: str, hint: str = "", *, paths: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint)
        self.paths = paths


class NotArmed(GuardError):
    """Automatic stop is not armed."""


class UnpulledArtifacts(GuardError):
    """Results on the pod are not at home yet."""


class VolumelessStop(GuardError):
    """Stopping this pod would destroy its data."""


class BudgetError(RemoteError):
    """The budget is used up or cannot be computed."""

    exit_code = 3
