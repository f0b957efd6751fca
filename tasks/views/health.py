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
    """Ready means: what an operator asks for will be carried out."""
    try:
        silence = workers.silence()
    except DatabaseError:
        return JsonResponse({"ready": False, "problem": "The database does not answer."}, status=503)
    if silence is None:
        return JsonResponse({"ready": True})
    if silence.since is None:
        problem = "No worker answers: nothing will be carried out."
    else:
        problem = f"No worker answers since {silence.since:%Y-%m-%d %H:%M:%S} UTC: nothing will be carried out."
    return JsonResponse({"ready": False, "problem": problem}, status=503)
