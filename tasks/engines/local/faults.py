"""Faults in plain words, and the exception that carries one through a connector."""

from __future__ import annotations

import errno

from tasks.engines.base import ErrorClass, Fault


class ConnectorError(Exception):
    """A source or target can't go on. `fault` says what a person needs; the message is the same sentence."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.sentence)
        self.fault = fault


def transient(code: str, cause: str, advice: str = "", subject: str = "") -> Fault:
    return Fault(ErrorClass.TRANSIENT, code, cause, advice, subject)


def permanent(code: str, cause: str, advice: str = "", subject: str = "") -> Fault:
    return Fault(ErrorClass.PERMANENT, code, cause, advice, subject)


def missing(code: str, cause: str, advice: str = "", subject: str = "") -> Fault:
    return Fault(ErrorClass.MISSING, code, cause, advice, subject)


def fenced(subject: str) -> Fault:
    return permanent(
        "fenced",
        f"A newer attempt of this task writes {subject}; this older one was refused by the target.",
        "Nothing to do: the newer attempt goes on.",
        subject,
    )


def from_os_error(error: OSError, subject: str) -> Fault:
    """Return what an error of the file system means for the task."""
    reason = error.strerror or type(error).__name__
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return transient("disk_full", f"{subject} can't be written: {reason}.", "Make room on the disk.", subject)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return permanent(
            "permission_denied",
            f"{subject} can't be used: {reason}.",
            "Give the engine's user the right, then Continue.",
            subject,
        )
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return missing("file_missing", f"{subject} does not exist.", "Put it back, then Re-detect.", subject)
    return transient("io_error", f"{subject}: {reason}.", "Look at the disk.", subject)
