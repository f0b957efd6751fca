"""Connections: source and target systems. A stored secret is never shown, only replaced."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.widgets import AdminTextInputWidget
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.timesince import timesince

from tasks.admin.affected import affected
from tasks.models import Connection, ConnectionKind
from tasks.submission.reading import SSL_MODES, read_connection
from tasks.submission.sections import Notes, Section
from tasks.submission.writing import why_connection_is_fixed

ADDRESS_OF: Final[dict[str, tuple[str, ...]]] = {
    ConnectionKind.SQLITE: ("path",),
    ConnectionKind.FILE: ("path",),
    ConnectionKind.POSTGRESQL: ("host", "port", "database", "user", "sslmode"),
}
ADDRESS: Final = ("path", "host", "port", "database", "user", "sslmode")


class ConnectionForm(forms.ModelForm):
    path = forms.CharField(
        max_length=2_000,
        required=False,
        widget=AdminTextInputWidget,
        help_text="SQLite: the database file. Files: the directory that holds them. An absolute path.",
    )
    host = forms.CharField(max_length=255, required=False, widget=AdminTextInputWidget)
    port = forms.IntegerField(min_value=1, max_value=65_535, required=False, help_text="5432 when left empty.")
    database = forms.CharField(max_length=63, required=False, widget=AdminTextInputWidget)
    user = forms.CharField(max_length=63, required=False, widget=AdminTextInputWidget)
    sslmode = forms.ChoiceField(
        label="TLS", choices=[(mode, mode) for mode in SSL_MODES], initial="prefer", required=False
    )
    secret = forms.CharField(
        label="Password",
        required=False,
        widget=forms.PasswordInput(render_value=False, attrs={"autocomplete": "new-password"}),
        help_text="Stored encrypted and never shown again. Leave it empty to keep what is stored.",
    )

    class Meta:
        model = Connection
        fields = ("name", "kind")

    def __init__(self, *args: Any, **values: Any) -> None:
        super().__init__(*args, **values)
        for name in ADDRESS:
            if self.instance.pk and name in self.fields:
                self.fields[name].initial = self.instance.settings.get(name, "")

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        name = cleaned.get("name") or self.instance.name
        kind = cleaned.get("kind") or self.instance.kind
        given = {key: cleaned[key] for key in ADDRESS_OF.get(kind, ()) if cleaned.get(key) not in (None, "")}
        if "path" in given and not Path(given["path"]).is_absolute():
            self.add_error("path", "Give an absolute path: it is read on the engine's machine.")
        notes = Notes()
        plan = read_connection(Section({"name": name, "kind": kind, **given}, "", notes), Path("/"))
        for problem in notes.problems:
            if problem.place not in self.errors:
                self.add_error(problem.place if problem.place in self.fields else None, problem.sentence)
        if self.instance.pk and plan.settings != self.instance.settings:
            fixed = why_connection_is_fixed(self.instance.name)
            if fixed:
                self.add_error(None, fixed)
        cleaned["settings"] = plan.settings
        return cleaned


@admin.register(Connection)
class ConnectionAdmin(admin.ModelAdmin):
    form = ConnectionForm
    list_display = ("name", "kind", "address", "has_secret", "test_result")
    list_filter = ("kind",)
    search_fields = ("name",)
    list_per_page = 50
    actions = ("test_connections",)

    def get_fieldsets(self, request: HttpRequest, obj: Connection | None = None) -> Any:
        """All kinds' questions for a new one, afterwards those of its own kind."""
        if obj is not None:
            own = ADDRESS_OF.get(obj.kind, ())
            return [(None, {"fields": ("name", "kind", *own, "secret", "has_secret", "test_result")})]
        return [
            (None, {"fields": ("name", "kind")}),
            ("SQLite, files", {"fields": ("path",)}),
            ("PostgreSQL", {"fields": (*ADDRESS_OF[ConnectionKind.POSTGRESQL], "secret")}),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Connection | None = None) -> list[str]:
        return [*(["name", "kind"] if obj else []), "has_secret", "test_result"]

    @admin.display(description="password stored")
    def has_secret(self, connection: Connection) -> str:
        return "yes" if connection.has_secret else "no"

    @admin.display(description="last test")
    def test_result(self, connection: Connection) -> str:
        if connection.check_requested_at:
            return f"asked for {timesince(connection.check_requested_at)} ago; a worker carries it out"
        if not connection.checked_at:
            return "never"
        return f"{connection.check_problem or 'good'} ({timesince(connection.checked_at)} ago)"

    def save_model(self, request: HttpRequest, obj: Connection, form: Any, change: bool) -> None:
        obj.settings = form.cleaned_data["settings"]
        fields = ["settings", "updated_at"]
        if form.cleaned_data.get("secret"):
            obj.set_secret(form.cleaned_data["secret"])
            fields.append("secret_token")
        if "_test" in request.POST:
            obj.check_requested_at, obj.check_problem = timezone.now(), ""
            fields += ["check_requested_at", "check_problem"]
        obj.save(**({"update_fields": fields} if change else {}))

    def response_change(self, request: HttpRequest, obj: Connection) -> HttpResponse:
        if "_test" in request.POST:
            self.message_user(request, f"{obj.name} is being tested by a worker; reload to see the result.")
            request.POST = request.POST.copy()
            request.POST["_continue"] = "1"
        return super().response_change(request, obj)

    @admin.action(description="Test the selected connections", permissions=["change"])
    def test_connections(self, request: HttpRequest, connections: QuerySet[Connection]) -> None:
        count = connections.update(check_requested_at=timezone.now(), check_problem="")
        self.message_user(request, f"{count} tests are queued to the worker; reload to see the results.", messages.INFO)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        to_delete, count, permissions, protected = super().get_deleted_objects(objs, request)
        names = [connection.name for connection in objs]
        which = Q(source_connection__name__in=names) | Q(target_connection__name__in=names)
        return [*to_delete, *affected(which)], count, permissions, protected
