"""How the person who asks reads numbers: 1,234.5 or 1.234,5 or 1 234,5, by what the browser says of its language."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from functools import lru_cache
from typing import Final

from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_vary_headers
from django.utils.formats import get_format
from django.utils.translation import get_supported_language_variant
from django.utils.translation.trans_real import parse_accept_lang_header

_PLAIN: Final = (",", ".")
_separators: ContextVar[tuple[str, str]] = ContextVar("separators", default=_PLAIN)


def numbers_as_read(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware: let `written` know how numbers are read. The words of the console stay English."""

    def answer(request: HttpRequest) -> HttpResponse:
        token = _separators.set(_separators_of(request.headers.get("Accept-Language", "")[:200]))
        try:
            response = get_response(request)
        finally:
            _separators.reset(token)
        patch_vary_headers(response, ["Accept-Language"])
        return response

    return answer


def written(value: float, decimals: int = 0) -> str:
    """1234567.5 -> 1,234,568 or 1.234.568; outside of a request the former."""
    text = f"{value:,.{decimals}f}"
    group, point = _separators.get()
    return text if (group, point) == _PLAIN else text.translate({ord(","): group, ord("."): point})


def separators() -> tuple[str, str]:
    """Return what stands between thousands and before decimals for the person who asks."""
    return _separators.get()


@lru_cache(maxsize=500)
def _separators_of(header: str) -> tuple[str, str]:
    for language, _ in parse_accept_lang_header(header.lower()):
        if language == "*":
            break
        try:
            found = get_supported_language_variant(language)
        except LookupError:
            continue
        point = str(get_format("DECIMAL_SEPARATOR", found, use_l10n=True))
        # Of some languages Django knows no separator of thousands: Chinese, for one.
        return str(get_format("THOUSAND_SEPARATOR", found, use_l10n=True)) or ("," if point == "." else " "), point
    return _PLAIN
