"""What fields share: names that people type, choices the database holds to, secrets encrypted at rest."""

from __future__ import annotations

import base64
import re
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models

NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")
name_validator = RegexValidator(
    NAME,
    "A name has 1 to 100 letters, digits, dots, dashes or underscores, and begins with a letter or digit.",
)


def one_of(field: str, choices: type[models.TextChoices], *, name: str, blank: bool = False) -> models.CheckConstraint:
    """Hold `field` to `choices` in the database: Django's own choices bind forms only."""
    values = [*choices.values, ""] if blank else choices.values
    return models.CheckConstraint(condition=models.Q(**{f"{field}__in": values}), name=name)


class SecretUnreadable(Exception):
    """A stored secret was encrypted with another OPS_SECRET_KEY."""


@lru_cache(maxsize=4)
def _cipher(keys: tuple[str, ...]) -> MultiFernet:
    def fernet(key: str) -> Fernet:
        derived = HKDF(SHA256(), 32, salt=None, info=b"opsconsole connection secrets").derive(key.encode())
        return Fernet(base64.urlsafe_b64encode(derived))

    return MultiFernet([fernet(key) for key in keys])


def cipher() -> MultiFernet:
    return _cipher((settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))


def encrypt(secret: str) -> str:
    return cipher().encrypt(secret.encode()).decode() if secret else ""


def decrypt(token: str) -> str:
    """Return the secret of `token`. Raises SecretUnreadable when the key that made it is gone."""
    if not token:
        return ""
    try:
        return cipher().decrypt(token.encode()).decode()
    except InvalidToken:
        raise SecretUnreadable("It was stored under another OPS_SECRET_KEY; type it again.") from None
