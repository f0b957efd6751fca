"""All HTMX plumbing: who wants a fragment, what has changed since it looked, and what the page should do next."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template import engines
from django.template.loader import render_to_string
from django.utils.cache import patch_vary_headers
from django.utils.safestring import SafeString, mark_safe

#: A poll names at most this many things it shows; a page never shows as many.
MAX_SHOWN = 200
#: What differs each time that a region is rendered, and means nothing: ages, and the disguise of the CSRF token.
_TICKING = re.compile(r"(<time[^>]*>)[^<]*")
_DISGUISED = re.compile(r'(name="csrfmiddlewaretoken" value=")[^"]*')


def wants_fragment(request: HttpRequest) -> bool:
    """A history restore asks for the page as a whole, although htmx sends it."""
    htmx = request.htmx  # type: ignore[attr-defined]
    return bool(htmx) and not htmx.boosted and not htmx.history_restore_request


def page_or_fragment(
    request: HttpRequest, page: str, fragment: str, context: Mapping[str, Any], *, status: int = 200
) -> HttpResponse:
    """Render the fragment for htmx, the page around it for everyone else."""
    template = fragment if wants_fragment(request) else page
    return varied(render(request, template, {**context, "as_fragment": template == fragment}, status=status))


def varied(response: HttpResponse) -> HttpResponse:
    """Tell caches that htmx is answered otherwise."""
    patch_vary_headers(response, ["HX-Request"])
    return response


def render_part(name: str, context: Mapping[str, Any]) -> SafeString:
    """Render one of templates/rows: Jinja, where Django's own templates took most of the time of a page."""
    return mark_safe(engines["rows"].get_template(name).render(dict(context)))  # noqa: S308  (it escapes)


def no_change() -> HttpResponse:
    """Answer a poll for which nothing has changed: htmx swaps nothing at 204."""
    return HttpResponse(status=204)


def changed(request: HttpRequest, regions: Iterable[dict[str, Any]], shown: Mapping[str, str]) -> HttpResponse:
    """Answer a poll with those of `regions` that the page shows in another version, or not at all."""
    anew = [region for region in regions if region["version"] != shown.get(region["id"])]
    return render(request, "tasks/partials/accepted.html", {"regions": anew}) if anew else no_change()


def shown(request: HttpRequest) -> dict[str, str]:
    """Return what a polling page shows, id to version, from `?v=<id>.<version>,...`."""
    pairs = (item.rpartition(".") for item in request.GET.get("v", "").split(",")[:MAX_SHOWN])
    return {name: version for name, _, version in pairs if name}


def version_of(values: Iterable[Any]) -> str:
    return blake2b(repr(values).encode(), digest_size=6).hexdigest()


def region(
    request: HttpRequest | None, name: str, template: str, context: Mapping[str, Any], *, oob: bool = False
) -> dict[str, Any]:
    """Render a live region; its version leaves out the ages in it, which console.js keeps true by itself."""
    html = render_to_string(template, dict(context), request=request)
    return {
        "id": name,
        "html": html,
        "version": version_of([_DISGUISED.sub(r"\1", _TICKING.sub(r"\1", html))]),
        "oob": oob,
    }


def settle(response: HttpResponse, **events: Any) -> HttpResponse:
    """Have console.js act once the response is in the page: `toast`, `closeDialog`."""
    response["HX-Trigger-After-Swap"] = json.dumps(events)
    return response
