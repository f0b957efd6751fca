"""What addresses and forms hold as text, read forgivingly: people type and share them."""

from __future__ import annotations


def whole_number(text: str, *, digits: int = 18) -> int | None:
    """Return the whole number that `text` is, of at most `digits` (more than 18 are no key that a database has)."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= digits else None
