"""How a person looks at the list: columns, density, and views that are kept under a name."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from django.contrib import messages
from django.contrib.auth import get_user_model
from django.db.models import Case, Q, When
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from tasks.compiled import Compiled
from tasks.filters import TaskFilter
from tasks.matrix import OPERATE
from tasks.models import Density, Preference, SavedView
from tasks.views.access import may_view, way_back

#: Columns of the list that a person may leave out, by the word that the style sheet knows them by.
COLUMNS: Final = {
    "source": "Source",
    "target": "Target",
    "rows": "Rows",
    "lag": "Lag",
    "last": "Last operation",
}
#: Views of one person.
_MOST_VIEWS: Final = 20
#: Views that are shown, one's own first.
_SHOWN: Final = 30
_LONGEST_NAME: Final = 60


class View(NamedTuple):
    """A saved view as the list offers it."""

    id: int
    user_id: int
    name: str
    query: str
    shared: bool


_VIEWS: Final = Compiled(
    "user_id",
    lambda among: (
        SavedView.objects.filter(among | Q(shared=True))
        .order_by(Case(When(among, then=0), default=1), "name", "pk")
        .values_list(*View._fields)[:_SHOWN]
    ),
)
_PREFERENCES: Final = Compiled(
    "user_id", lambda among: Preference.objects.filter(among).values_list("hidden", "density")
)


def preferences_of(request: HttpRequest) -> dict[str, Any]:
    """Return how this person looks at the list: columns, density, and the views that have a name."""
    me = request.user.pk
    views = [View._make(row) for row in _VIEWS.rows([me])]
    others = {view.user_id for view in views} - {me}
    names = dict(get_user_model().objects.filter(pk__in=others).values_list("pk", "username")) if others else {}
    kept = [Preference(hidden=hidden, density=density) for hidden, density in _PREFERENCES.rows([me])]
    return {
        "views": [(view, names.get(view.user_id, "")) for view in views],
        "preference": kept[0] if kept else Preference(),
        "columns": COLUMNS,
        "densities": Density.choices,
    }


@require_POST
def save_preferences(request: HttpRequest) -> HttpResponse:
    may_view(request)
    shown = set(request.POST.getlist("column"))
    density = request.POST.get("density", "")
    Preference.objects.update_or_create(
        user=request.user,
        defaults={
            "hidden": [name for name in COLUMNS if name not in shown],
            "density": density if density in Density.values else Density.COMFORTABLE,
        },
    )
    return redirect(way_back(request, "tasks:list"))


@require_POST
def save_view(request: HttpRequest) -> HttpResponse:
    """Keep a query under a name; the same name again replaces it."""
    may_view(request)
    name = request.POST.get("name", "").replace("\0", "").strip()
    query = TaskFilter.read(QueryDict(request.POST.get("query", "")[:5_000])).query()
    own = SavedView.objects.filter(user=request.user.pk)
    if not name or len(name) > _LONGEST_NAME:
        messages.error(request, f"name: give the view a name of at most {_LONGEST_NAME} characters.")
    elif not own.filter(name=name).exists() and own.count() >= _MOST_VIEWS:
        messages.error(request, f"You have {_MOST_VIEWS} views, and that is the most: delete one first.")
    else:
        shared = request.POST.get("shared") == "1" and request.user.has_perm(OPERATE)
        SavedView.objects.update_or_create(user=request.user, name=name, defaults={"query": query, "shared": shared})
        messages.success(request, f"View {name} is saved{' for everybody' if shared else ''}.")
    response = redirect("tasks:list")
    response["Location"] += f"?{query}" if query else ""
    return response


@require_POST
def delete_view(request: HttpRequest, view_id: int) -> HttpResponse:
    """Forget a view of one's own; whoever may delete them in the admin may delete those that others shared, too."""
    may_view(request)
    deletable = Q(user=request.user.pk)
    if request.user.has_perm("tasks.delete_savedview"):
        deletable |= Q(shared=True)
    SavedView.objects.filter(deletable, pk=view_id).delete()
    return redirect("tasks:list")
