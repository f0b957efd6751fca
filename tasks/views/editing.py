"""Make, clone and change a task, step by step: all answers travel with the form, so that nothing is half written."""

from __future__ import annotations

from typing import Any, Final

import yaml
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods

from tasks.models import Connection, ConnectionKind, Lookup, LookupKind, Task
from tasks.statuses import Status
from tasks.submission import Change, SubmissionInvalid, write_task
from tasks.submission.writing import AT_ANY_TIME, HARMLESS, why_unchangeable
from tasks.task_forms import ChangedMeanwhile, TaskForm, as_submitted, save_task, spoken
from tasks.views import htmx
from tasks.views.access import may_view, viewable_task
from tasks.views.addresses import whole_number

#: Step -> its words, its questions, and which side of the flow it is about.
STEPS: Final[tuple[tuple[str, tuple[str, ...], str], ...]] = (
    (
        "Source",
        ("source", "source_object", "cursor", "tie", "settle", "settle_limit", "format", "columns", "event_time"),
        "source",
    ),
    ("Target", ("target", "target_object", "write_mode", "key"), "target"),
    (
        "Where and how",
        (
            "name",
            "description",
            "owner",
            "tags",
            "group_name",
            "start_position",
            "snapshot_interval",
            "exactly_once",
            "dirty_limit",
            "restart_limit",
            "time_limits",
        ),
        "",
    ),
    ("Review", (), ""),
)
REVIEW: Final = len(STEPS) - 1
_BY_KIND: Final = {  # questions that only some kinds of a source have
    "cursor": (ConnectionKind.SQLITE, ConnectionKind.POSTGRESQL),
    "tie": (ConnectionKind.POSTGRESQL,),
    "settle": (ConnectionKind.POSTGRESQL,),
    "settle_limit": (ConnectionKind.POSTGRESQL,),
    "format": (ConnectionKind.FILE,),
    "columns": (ConnectionKind.FILE,),
}


@require_http_methods(["GET", "HEAD", "POST"])
def new_task(request: HttpRequest) -> HttpResponse:
    """A new task, or with `clone` one like another."""
    _must(request, "add")
    return _step(request, None, _clone(request))


@require_http_methods(["GET", "HEAD", "POST"])
def edit_task(request: HttpRequest, task_id: int) -> HttpResponse:
    task = viewable_task(request, task_id)
    _must(request, "change")
    return _step(request, task, task)


def _must(request: HttpRequest, act: str) -> None:
    may_view(request)
    if not request.user.has_perm(f"tasks.{act}_task"):
        raise PermissionDenied(f"You may not {act} tasks. Ask an administrator for the right “Can {act} task”.")


def _clone(request: HttpRequest) -> Task | None:
    return Task.objects.submitted().filter(pk=whole_number(request.GET.get("clone", ""))).first()


def _step(request: HttpRequest, task: Task | None, like: Task | None) -> HttpResponse:
    """Take one step of the form: on, back, look something up, or save."""
    if request.method != "POST":
        return _show(request, task, _unbound(task, like), 0)
    now = min(whole_number(request.POST.get("step", "")) or 0, REVIEW)
    form = TaskForm(request.POST, instance=task or Task(), is_whole=now >= REVIEW - 1 and "back" not in request.POST)
    if "back" in request.POST:
        return _show(request, task, form, max(0, min(now - 1, whole_number(request.POST["back"]) or 0)))
    if "look" in request.POST:
        return _show(request, task, form, now, _ask(request, now))
    is_valid = form.is_valid()
    if is_valid and "save" in request.POST and now == REVIEW:
        return _save(request, task, form)
    wrong = [n for n, (_, names, _) in enumerate(STEPS) if any(name in form.errors for name in names)]
    if any(n <= now for n in wrong) or (form.non_field_errors() and now >= REVIEW - 1):
        return _show(request, task, form, min([n for n in wrong if n <= now], default=REVIEW - 1), status=422)
    following = min(now + 1, REVIEW)
    return _show(request, task, form, following, _check(request, form) if following == REVIEW and is_valid else ())


def _unbound(task: Task | None, like: Task | None) -> TaskForm:
    """Bind the form to what is there: each step then shows the same answers."""
    if like is None:
        return TaskForm(instance=Task())
    form = TaskForm(instance=like)
    if task is None:
        form.initial["name"] = f"{like.name}-copy"[:100]
    return form


def _save(request: HttpRequest, task: Task | None, form: TaskForm) -> HttpResponse:
    plan, actor = form.cleaned_data["plan"], request.user.get_username()
    try:
        if task is not None:
            changed = save_task(task, plan, actor, seen=form.cleaned_data["seen"])
            said = f"{task.name} is changed: {', '.join(map(spoken, changed))}." if changed else "Nothing was changed."
        else:
            with transaction.atomic():
                write_task(plan, Change("task", plan.name, "created"), actor)
            task = Task.objects.get(name=plan.name)
            said = f"{task.name} is submitted; Run starts it."
    except ChangedMeanwhile as error:
        form.add_error(None, str(error))
        return _show(request, task, form, REVIEW - 1, status=409)
    except SubmissionInvalid as error:
        form.add_error(None, " ".join(problem.sentence for problem in error.problems))
        return _show(request, None, form, REVIEW - 1, status=409)
    messages.success(request, said)
    return redirect(task)


# --- look-ups: the worker answers, the web process opens no connection to what somebody typed -----------------


def _ask(request: HttpRequest, step: int) -> tuple[Lookup, ...]:
    side = STEPS[step][2]
    name = request.POST.get(side, "")[:100]
    object_name = request.POST.get(f"{side}_object", "").replace("\0", "")[:255]
    if not side or not Connection.objects.filter(name=name).exists():
        return ()
    kinds = [(LookupKind.OBJECTS, {"connection": name})]
    if object_name:
        kinds.append((LookupKind.COLUMNS, {"connection": name, "object": object_name}))
    return tuple(_lookup(request, kind, asked) for kind, asked in kinds)


def _check(request: HttpRequest, form: TaskForm) -> tuple[Lookup, ...]:
    return (_lookup(request, LookupKind.CHECK, form.as_submission()),)


def _lookup(request: HttpRequest, kind: LookupKind, asked: dict[str, Any]) -> Lookup:
    return Lookup.objects.create(user_id=request.user.pk, kind=kind, asked=asked, asked_at=timezone.now())


@require_GET
def lookup(request: HttpRequest, lookup_id: int) -> HttpResponse:
    """Answer the poll of a look-up: what the worker found, once it has."""
    may_view(request)
    found = Lookup.objects.filter(pk=lookup_id, user=request.user.pk).first()
    if found is None:
        raise Http404("This look-up is gone; look again.")
    if found.answered_at is None and htmx.wants_fragment(request):
        return htmx.no_change()
    keys = [column["name"] for column in found.found if column["key"]] if found.kind == LookupKind.COLUMNS else []
    return render(request, "tasks/partials/lookup.html", {"lookup": found, "key_text": ", ".join(keys)})


# --- showing -------------------------------------------------------------------------------------------------


def _show(
    request: HttpRequest,
    task: Task | None,
    form: TaskForm,
    step: int,
    lookups: tuple[Lookup, ...] = (),
    *,
    status: int = 200,
) -> HttpResponse:
    kind = Connection.objects.filter(name=form["source"].value() or "").values_list("kind", flat=True).first()
    hidden = {name for name, kinds in _BY_KIND.items() if kind not in kinds}
    names = [name for name in STEPS[step][1] if name in form.fields and name not in hidden]
    if status == 200 and form.is_bound and step != REVIEW:
        # Nobody has answered this step yet: what is missing in it is no mistake.
        for name in names:
            form.errors.pop(name, None)
    first_wrong = next((name for name in names if form.is_bound and name in form.errors), None)
    if first_wrong:
        form.fields[first_wrong].widget.attrs["autofocus"] = True
    shown = [form[name] for name in names]
    context = {
        "task": task,
        "form": form,
        "fixed": _what_is_fixed(task),
        "steps": [words for words, _, _ in STEPS],
        "step": step,
        "is_review": step == REVIEW,
        "side": STEPS[step][2],
        "shown": shown,
        "carried": [form[name] for name in form.fields if form[name] not in shown],
        "lookups": lookups,
        "wants_kind": step == 0 and not kind,
        "text": _as_yaml(form.as_submission()) if step == REVIEW and form.is_bound and form.is_valid() else "",
    }
    return render(request, "tasks/edit.html", context, status=status)


def _what_is_fixed(task: Task | None) -> str:
    """Say before anybody has answered three steps what the status of `task` lets nobody change."""
    if task is None or why_unchangeable(task, ["source_object"]) is None:
        return ""
    free = AT_ANY_TIME if task.status in (Status.RUNNING, Status.OPERATING) else HARMLESS
    may = ", ".join(sorted(map(spoken, free)))
    return f"{task.name} is {task.get_status_display()}: only {may} can be changed now."


def _as_yaml(submitted: dict[str, Any]) -> str:
    return yaml.safe_dump({"tasks": [submitted]}, sort_keys=False, allow_unicode=True)


@require_GET
def task_file(request: HttpRequest, task_id: int) -> HttpResponse:
    """The task as a file that `submit` takes. Its group and connections are named, not told: they hold addresses."""
    task = viewable_task(request, task_id)
    submitted = {name: value for name, value in as_submitted(task).items() if value not in ("", [], {})}
    response = HttpResponse(_as_yaml(submitted), content_type="application/yaml; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{task.name}.yaml"'
    return response
