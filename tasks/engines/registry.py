"""Resource group kind -> engine. The only engine module that reads settings."""

from __future__ import annotations

from functools import lru_cache

from django.conf import settings

from tasks.engines.base import Engine
from tasks.engines.local.client import LocalEngine


@lru_cache(maxsize=8)
def engine_for(kind: str) -> Engine:
    """Return the engine of a resource group's kind. Raises LookupError for one that this version does not have."""
    if kind == "local":
        return LocalEngine(settings.OPS_DATA_DIR)
    raise LookupError(f"This version has no engine of kind {kind!r}.")
