"""Every failure the pipeline can name: permanent ones need a person or a new file, retryable ones need time.

Step Functions sees the class name of what a function raises as the error's name, so the state machine's Retry
and Catch rules refer to the names below.
"""

from __future__ import annotations


class PipelineError(Exception):
    """Base of all failures that the pipeline raises itself."""


class PermanentError(PipelineError):
    """Trying again with the same input cannot help."""


class RetryableError(PipelineError):
    """The same call may well succeed later."""


class SettingsError(PermanentError):
    """The function's environment is incomplete or malformed."""


class EventError(PermanentError):
    """The event has a form that this function does not know."""


class ReconciliationError(PermanentError):
    """What was read does not equal what was counted plus what was refused."""


class SourceChangedError(PermanentError):
    """A file of the set is gone or is no longer the version that made the set complete."""


class SupersededError(PermanentError):
    """A newer set of files for the same batch has taken over."""


class BatchBusyError(RetryableError):
    """Another run of the same batch still holds it."""


class ThrottledError(RetryableError):
    """A service accepted only a part of the work within the time that was left."""


class LedgerConflictError(RetryableError):
    """Other writers changed the ledger entry at each attempt to update it."""


class PreviousVersionLostError(PermanentError):
    """The list of customers that an earlier version of the batch delivered is gone."""


class ResourceLimitError(PermanentError):
    """The files need more memory or disk than the function has; the files themselves may be valid."""


class MemoryLimitError(ResourceLimitError):
    """The files need more memory than DuckDB may use."""


class DiskFullError(ResourceLimitError):
    """The files need more disk than there is."""
