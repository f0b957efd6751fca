"""Who is signed in. A poll is let pass by what was found a moment ago: with it most of them need no query for that."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import Any, Final

from django.conf import settings
from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse

#: Seconds for which a session goes on seeing what changes, as it might, after it ended or lost a right.
#: It can do nothing, nor open a page, in them: only polls are let pass so.
REMEMBERED: Final = 5


def poll(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Mark a view whose requests come every two seconds from each open page, and change nothing."""
    view.is_poll = True  # type: ignore[attr-defined]
    return view


class SignInRequired(LoginRequiredMiddleware):
    def process_view(
        self, request: HttpRequest, view_func: Callable[..., Any], view_args: Any, view_kwargs: Any
    ) -> HttpResponse | None:
        """Let pass who is signed in, and polls of who was a moment ago."""
        if getattr(view_func, "is_poll", False):
            # Read once: it could be forgotten between here and the view.
            request.remembered = _remembered(request)  # type: ignore[attr-defined]
            if remembered(request) is not None:
                return None
        return super().process_view(request, view_func, view_args, view_kwargs)


def remembered(request: HttpRequest) -> frozenset[str] | None:
    """Return what the session of a poll might do a moment ago; None where it was not let pass in it."""
    return getattr(request, "remembered", None)


def remember(request: HttpRequest, rights: frozenset[str]) -> None:
    """Let the next polls of this session pass without asking again whose it is, and what they may do."""
    if name := _name(request):
        cache.set(name, rights, REMEMBERED)


def _remembered(request: HttpRequest) -> frozenset[str] | None:
    name = _name(request)
    return cache.get(name) if name else None


def _name(request: HttpRequest) -> str:
    key = request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")
    return f"let-pass:{blake2b(key.encode(), digest_size=16).hexdigest()}" if key else ""
