"""Who may see what: a task is looked up here or not at all."""

from __future__ import annotations

from collections.abc import Callable

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest
from django.utils.http import url_has_allowed_host_and_scheme

from tasks.matrix import MATRIX, VIEW
from tasks.models import Task
from tasks.sign_in import remember, remembered
from tasks.statuses import Operation


def may_view(request: HttpRequest) -> None:
    """Let pass who may see tasks; everyone else gets the 403 page."""
    if not request.user.has_perm(VIEW):
        raise PermissionDenied("You may not see tasks. Ask an administrator for the right “Can view task”.")


def may_poll(request: HttpRequest) -> Callable[[str], bool]:
    """Let pass whom `may_view` let pass a moment ago, too. Return what they may do, as of then."""
    rights = remembered(request)
    if rights is None:
        may_view(request)
        rights = frozenset(filter(request.user.has_perm, {row.permission for row in MATRIX.values()}))
        remember(request, rights)
    return rights.__contains__


def viewable_task(request: HttpRequest, task_id: int) -> Task:
    """Return a submitted task. Drafts are nobody's business outside the admin: 404."""
    may_view(request)
    task = Task.objects.submitted().select_related("run", "owner", "last_request").filter(pk=task_id).first()
    if task is None:
        raise Http404("There is no such task, or it is not submitted yet.")
    return task


def named_operation(name: str) -> Operation:
    try:
        return Operation(name)
    except ValueError:
        raise Http404("There is no such operation.") from None


def way_back(request: HttpRequest, otherwise: str) -> str:
    """Return the page that a form was on, as its `next` says, where that is one of this console's."""
    target = request.POST.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(target, allowed_hosts=None, require_https=request.is_secure())
    return target if is_ours and target.startswith("/") else otherwise
