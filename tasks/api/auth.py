"""Who asks: a signed token, or the session of a browser. Errors are JSON."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.contrib.auth.decorators import login_not_required
from django.core import signing
from django.core.exceptions import SuspiciousOperation
from django.db import Error as DatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.middleware.csrf import CsrfViewMiddleware
from django.utils.crypto import constant_time_compare
from django.views.decorators.csrf import csrf_exempt

from tasks.matrix import VIEW

_SALT: Final = "opsconsole.api"

View = Callable[..., HttpResponse]


class ApiError(Exception):
    """Answered as JSON: {"code", "message", ...}."""

    def __init__(self, status: int, code: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.http_status = status
        self.body = {"code": code, "message": message, **more}


def make_token(user: Any, days: int) -> str:
    """Return a token for `user`. It ends after `days`, with a new password, or when the user is made inactive."""
    value = {"user": user.pk, "session": user.get_session_auth_hash(), "until": int(time.time()) + days * 86_400}
    return signing.dumps(value, salt=_SALT)


def user_of(token: str) -> Any:
    """Return the user of `token`; None where it is not, or no longer, good."""
    try:
        value = signing.loads(token, salt=_SALT)
        user = get_user_model().objects.get(pk=value["user"], is_active=True)
        hashes = (user.get_session_auth_hash(), *user.get_session_auth_fallback_hash())
        good = any(constant_time_compare(value["session"], known) for known in hashes)
        return user if good and value["until"] > time.time() else None
    except (signing.BadSignature, get_user_model().DoesNotExist, KeyError, TypeError):
        return None


def api(*methods: str) -> Callable[[View], View]:
    """Make a view one of the API: these methods, a known user who may view tasks, and JSON whatever happens."""

    def wrap(view: View) -> View:
        @csrf_exempt
        @login_not_required
        @functools.wraps(view)
        def answer(request: HttpRequest, *args: Any, **values: Any) -> HttpResponse:
            try:
                if request.method not in (*methods, "HEAD" if "GET" in methods else ""):
                    raise ApiError(405, "method_not_allowed", f"Use {' or '.join(methods)} here.")
                _authenticate(request)
                response = view(request, *args, **values)
            except ApiError as error:
                response = JsonResponse(error.body, status=error.http_status)
                if error.http_status == 401:
                    response["WWW-Authenticate"] = "Bearer"
                if error.http_status == 405:
                    response["Allow"] = ", ".join(methods)
            except SuspiciousOperation as error:  # what the settings limit: a body that is too large
                body = {"code": "bad_request", "message": str(error), "field": "body"}
                response = JsonResponse(body, status=400)
            except DatabaseError:
                message = "The console's database does not answer. Ask again, with the same Idempotency-Key."
                response = JsonResponse({"code": "database_unavailable", "message": message}, status=503)
            response["Cache-Control"] = "no-store"
            return response

        return answer

    return wrap


def _authenticate(request: HttpRequest) -> None:
    """Set request.user. Raises ApiError."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme:
        user = user_of(token.strip()) if scheme.lower() == "bearer" else None
        if user is None:
            raise ApiError(401, "bad_token", "The token is not good, or no longer: make one with manage.py api_token.")
        request.user = user
    elif not request.user.is_authenticated:
        raise ApiError(401, "not_signed_in", "Send `Authorization: Bearer TOKEN`: make one with manage.py api_token.")
    elif request.method == "POST" and not _has_csrf_token(request):
        raise ApiError(403, "csrf", "The CSRF token is missing or wrong. Scripts use a Bearer token instead.")
    if not request.user.has_perm(VIEW):
        raise ApiError(403, "permission", "You may not see tasks. Ask an administrator for the right.")


def _has_csrf_token(request: HttpRequest) -> bool:
    """A browser sends its session by itself, so a page of somebody else's could ask."""

    def nothing(*_: Any) -> HttpResponse:
        return HttpResponse()

    return CsrfViewMiddleware(nothing).process_view(request, nothing, (), {}) is None
