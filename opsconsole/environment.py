"""Settings read from the environment: each reader refuses a bad value in one sentence that names it."""

from __future__ import annotations

import os
import secrets
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

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


def some_of(name: str, choices: tuple[str, ...]) -> frozenset[str]:
    """Return those of `choices` that are named; none by default."""
    found = names(name, "")
    for value in found:
        if value not in choices:
            raise ImproperlyConfigured(f"{name} must name some of {', '.join(choices)}; {value!r} is none of them.")
    return frozenset(found)


_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def seconds(name: str, value: str) -> int:
    """Return the seconds that `value` says: 90s, 10m, 1h, 30d."""
    number, unit = value[:-1], value[-1:]
    if not number.isdecimal() or unit not in _SECONDS or int(number) < 1:
        raise ImproperlyConfigured(f"{name}: {value!r} is no length of time; write it as 90s, 10m, 1h or 30d.")
    return int(number) * _SECONDS[unit]


def retention(name: str, default: str) -> tuple[tuple[int, int], ...]:
    """Return (seconds of a stretch, seconds it is kept) pairs from `10s:1h,1m:1d`, finest first.

    Each stretch must be a whole number of the one before it and be kept longer; the finest is kept for two of the next.
    """
    found: list[tuple[int, int]] = []
    for part in names(name, default):
        stretch, colon, kept = part.partition(":")
        if not colon:
            raise ImproperlyConfigured(f"{name}: {part!r} must be a stretch and how long it is kept, as in 10s:1h.")
        found.append((seconds(name, stretch), seconds(name, kept)))
    for (fine, kept), (coarse, kept_longer) in pairwise(found):
        if coarse <= fine or coarse % fine or kept_longer <= kept or kept < 2 * coarse:
            raise ImproperlyConfigured(
                f"{name}: each stretch must be a multiple of the one before it and be kept longer, and the one before "
                f"it be kept for two of it; {fine} s for {kept} s and {coarse} s for {kept_longer} s are not."
            )
    if not 1 <= len(found) <= 5 or found[0][0] > 3600 or found[-1][0] > 30_000:
        raise ImproperlyConfigured(f"{name} must name one to five stretches, the finest an hour at most.")
    return tuple(found)


def address(name: str, default: str) -> str:
    """Return the http or https address `name`, with a slash at its end; empty where there is none."""
    value = text(name, default)
    if not value:
        return ""
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ImproperlyConfigured(f"{name} must be an address such as https://ops.example.org, not {value!r}.")
    return f"{value.rstrip('/')}/"


def smtp(name: str) -> tuple[str, int, str, str, bool, bool]:
    """Return host, port, user, password, STARTTLS, TLS of smtp://user:password@host:port; smtp+tls://, smtps://."""
    value = text(name)
    if not value:
        return "", 25, "", "", False, False
    # The value may hold a password: the sentence names the setting, never what it says.
    wrong = f"{name} can't be read; it looks like smtp://user:password@host:25, smtp+tls://... or smtps://..."
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ImproperlyConfigured(wrong) from None
    ports = {"smtp": 25, "smtp+tls": 587, "smtps": 465}
    if parts.scheme not in ports or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ImproperlyConfigured(wrong)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    return (
        parts.hostname,
        port or ports[parts.scheme],
        user,
        password,
        parts.scheme == "smtp+tls",
        parts.scheme == "smtps",
    )


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
