"""Our icons, for templates of both kinds."""

from __future__ import annotations

from typing import Final

from django.utils.safestring import SafeString, mark_safe

#: 16 x 16, drawn with the text's colour.
_ICONS: Final = {
    "search": '<circle cx="7" cy="7" r="4.5"/><path d="m10.5 10.5 4 4"/>',
    "arrow": '<path d="M2 8h11M9 4l4 4-4 4"/>',
    "warning": '<path d="M8 2 1.5 13.5h13zM8 6.5v3.2M8 11.8v.2"/>',
    "close": '<path d="m4 4 8 8m0-8-8 8"/>',
    "up": '<path d="m4 10 4-4 4 4"/>',
    "down": '<path d="m4 6 4 4 4-4"/>',
}


def icon(name: str) -> SafeString:
    return mark_safe(  # noqa: S308  - the text above, nothing of a user's
        '<svg class="icon" width="16" height="16" viewBox="0 0 16 16" aria-hidden="true" focusable="false">'
        f"{_ICONS[name]}</svg>"
    )
