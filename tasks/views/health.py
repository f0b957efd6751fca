"""What machines ask: is the process alive, and can it do its work? No sign-in, no secrets."""

from __future__ import annotations

import sys

from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError, InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from tasks.views import workers


@login_not_required
@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok", content_type="text/plain")


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer what went wrong unforeseen; a database that does not answer is said to be just that."""
    if isinstance(sys.exc_info()[1], OperationalError | InterfaceError):
        response = HttpResponse(render_to_string("503.html"), status=503)
        response["Retry-After"] = "5"
        return response
    return HttpResponse(render_to_string("500.html"), status=500)


@login_not_required
@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """Ready means: what an operator asks for will be carried out. `engines` names those that answer and that don't."""
    try:
        silence = workers.silence()
        engines = workers.engines()
    except DatabaseError:
        return JsonResponse({"ready": False, "problem": "The database does not answer."}, status=503)
    if silence is not None:
        since = "" if silence.since is None else f" since {silence.since:%Y-%m-%d %H:%M:%S} UTC"
        problem = f"No worker answers{since}: nothing will be carried out."
    elif engines and not any(answers for answers in engines.values()):
        problem = "No engine answers: nothing can be started, paused or stopped."
    else:
        return JsonResponse({"ready": True, "engines": engines})
    return JsonResponse({"ready": False, "problem": problem, "engines": engines}, status=503)
