"""Every error this package raises on purpose.

    InstrumentError                      exit code 3
    ├── UsageError(ValueError)           2   wrong argument, name, setting or expression
    │   └── QueryError                   2   a bad ``--where``; knows the position
    ├── NotFoundError(LookupError)       2   no such run, artifact, backend or file
    ├── MissingDependencyError(ImportError)  3   an extra is not installed
    ├── StoreError(OSError)              3   the store cannot be read or written
    │   ├── StoreVersionError            3   the store was written by a newer version
    │   └── AuditError                   3   an audit is required, and the ledger cannot be written
    ├── ContaminationError(ValueError)   1   a model or a text is not as clean as was asked
    ├── HeldError                        1   a hold forbids to remove it
    └── IntegrityError                   1   content does not match its digest

Messages are one line: the value, the reason, the way out. The command line prints
``error: <message>`` and exits with `exit_code`; nobody sees a traceback for bad input.
"""

from typing import ClassVar


class InstrumentError(Exception):
    """Base of all errors raised by this package.

    Attributes:
        exit_code: What the `instrument` command exits with.
    """

    exit_code: ClassVar[int] = 3


class UsageError(InstrumentError, ValueError):
    """An argument, a name, a setting or an expression is not usable."""

    exit_code = 2


class QueryError(UsageError):
    """A ``--where`` expression does not parse.

    Args:
        message: The reason and the way out.
        expression: The whole expression.
        position: Index of the first bad character, from 0.
    """

    def __init__(self, message: str, expression: str, position: int) -> None:
        super().__init__(f"{message} at position {position + 1} of {expression!r}")
        self.expression = expression
        self.position = position


class NotFoundError(InstrumentError, LookupError):
    """There is no such run, artifact, version, backend or file."""

    exit_code = 2


class MissingDependencyError(InstrumentError, ImportError):
    """An optional library is needed and not installed."""


class StoreError(InstrumentError, OSError):
    """The store cannot be opened, read or written."""


class StoreVersionError(StoreError):
    """The store was written by a newer version of this package."""


class AuditError(StoreError):
    """An audit is required, and the ledger cannot be told of a run. Raised in any run."""


class ContaminationError(InstrumentError, ValueError):
    """A model, a tokenizer or a text is not as clean as a strict loader asks for."""

    exit_code = 1


class HeldError(InstrumentError):
    """A retention period or legal hold forbids to remove something."""

    exit_code = 1


class IntegrityError(InstrumentError):
    """Content does not match the digest it was recorded under."""

    exit_code = 1
