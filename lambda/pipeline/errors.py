"""The exceptions of the pipeline: permanent ones need a person or a new file, retryable ones only need time.

Step Functions uses the class name of an exception as the error name, so the Retry and Catch rules of the state machine
refer to the names below.
"""

from __future__ import annotations


class PipelineError(Exception):
    """Base class of the exceptions that the pipeline raises."""


class PermanentError(PipelineError):
    """A retry with the same input would fail again."""


class RetryableError(PipelineError):
    """A retry may succeed."""


class SettingsError(PermanentError):
    """The function's environment is incomplete or malformed."""


class EventError(PermanentError):
    """The event does not have the expected form."""


class ReconciliationError(PermanentError):
    """The reconciliation failed: read does not equal counted plus refused."""


class SourceChangedError(PermanentError):
    """A file of the set is gone or was replaced by another version."""


class SupersededError(PermanentError):
    """A newer set of files for the same batch has taken over."""


class ThrottledError(RetryableError):
    """A service did not accept all requests in time."""


class TransferError(RetryableError):
    """Bytes of an object were lost or changed on their way from S3."""


class LedgerConflictError(RetryableError):
    """The ledger entry was changed concurrently at each attempt to update it."""


class ForeignKeyError(PermanentError):
    """A chunk file holds a write that does not belong to the run's batch."""


class OutputTooLargeError(PermanentError):
    """A reply is larger than the state machine can take."""


class PreviousVersionLostError(PermanentError):
    """A list of whose results an earlier version of the batch delivered is missing."""


class DayTooLargeError(PermanentError):
    """The files of a day do not fit into the function; they may be valid."""


class LargeDayOutcomeError(PermanentError):
    """The job for large days left no result of this run."""


class ResourceLimitError(PermanentError):
    """The files need more memory or disk than the function has; the files may be valid."""


class MemoryLimitError(ResourceLimitError):
    """The files need more memory than DuckDB may use."""


class DiskFullError(ResourceLimitError):
    """The files need more disk space than there is."""
