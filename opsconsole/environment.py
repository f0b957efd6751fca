"""Settings read from the environment: each reader refuses a bad value in one sentence that names it."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured


def text(name: str, default: str = "") -> str:
    return os.environ.get(name, "").strip() or default


def flag(name: str, default: bool) -> bool:
    value = text(name, "1" if default else "0")
    if value not in ("0", "1"):
        raise ImproperlyConfigured(f"{name} must be 0 or 1, not {value!r}.")
    return value == "1"


def integer(name: str, default: int, *, low: int, high: int) -> int:
    value = text(name, str(default))
    try:
        number = int(value)
    except ValueError:
        raise ImproperlyConfigured(f"{name} must be a whole number, not {value!r}.") from None
    if not low <= number <= high:
        raise ImproperlyConfigured(f"{name} must be between {low} and {high}, not {number}.")
    return number


def one_of(name: str, default: str, choices: tuple[str, ...]) -> str:
    value = text(name, default).upper()
    if value not in choices:
        raise ImproperlyConfigured(f"{name} must be one of {', '.join(choices)}, not {value!r}.")
    return value


def names(name: str, default: str) -> list[str]:
    return [part.strip() for part in text(name, default).split(",") if part.strip()]


def directory(name: str, default: Path) -> Path:
    """Return the directory `name` points at, made when missing (mode 0700)."""
    path = Path(text(name, str(default))).expanduser().resolve()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(path, os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied")
    except OSError as error:
        raise ImproperlyConfigured(f"{name}: can't write to {path} ({error.strerror}).") from None
    return path


def secret_key(name: str, data_dir: Path, *, production: bool) -> str:
    """Return the secret key: from the environment, else (not in production) made once into `data_dir`.

    It signs sessions and encrypts the connections' secrets: losing it means typing those again.
    """
    value = text(name)
    if value:
        if production and len(value) < 40:
            raise ImproperlyConfigured(f"{name} must have at least 40 characters when OPS_PRODUCTION=1.")
        return value
    if production:
        raise ImproperlyConfigured(f"{name} must be set when OPS_PRODUCTION=1.")
    path = data_dir / "secret_key"
    try:
        # O_EXCL: web, worker and release may start at once, and must agree on one key.
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        value = path.read_text().strip()
        if not value:
            raise ImproperlyConfigured(f"{path} is empty; delete it to have a new secret key made.") from None
        return value
    value = secrets.token_urlsafe(48)
    with os.fdopen(handle, "w") as file:
        file.write(value)
    return value
