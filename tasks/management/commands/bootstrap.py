"""manage.py bootstrap: what a new console needs once; safe to repeat at every start."""

from __future__ import annotations

import secrets
from typing import Any, Final

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.core.management.base import BaseCommand
from django.db import transaction

from tasks import demo
from tasks.models import Task

#: Role -> the permissions (codenames) of its members; each role has those of the one before it.
ROLES: Final = {
    "Viewers": ["view_task"],
    "Operators": ["operate_task", "stop_task"],
    "Configurers": [
        f"{act}_{noun}"
        for noun in ("task", "connection", "resourcegroup", "alertrule", "recipientgroup", "recipientchannel")
        for act in ("add", "change", "delete")
    ]
    + [f"view_{noun}" for noun in ("connection", "resourcegroup", "alertrule", "recipientgroup", "recipientchannel")],
}


class Command(BaseCommand):
    help = "Makes the roles, the user admin and (OPS_DEMO=1, on an empty console) the demo, where they are missing."

    def handle(self, *args: Any, **options: Any) -> None:
        with transaction.atomic():
            self._make_roles()
            self._make_admin()
        if settings.OPS_DEMO and (demo.exists() or not Task.objects.exists()):
            for line in demo.prepare():
                self.stdout.write(line)

    def _make_roles(self) -> None:
        codenames: list[str] = []
        for role, more in ROLES.items():
            codenames = [*codenames, *more]
            group, created = Group.objects.get_or_create(name=role)
            if created:  # later changes of a role are the administrator's
                group.permissions.set(
                    Permission.objects.filter(codename__in=codenames, content_type__app_label="tasks")
                )

    def _make_admin(self) -> None:
        users = get_user_model().objects
        password = settings.OPS_ADMIN_PASSWORD
        admin = users.filter(username="admin").first()
        if admin is None and not users.filter(is_superuser=True).exists():
            made = password or secrets.token_urlsafe(12)
            users.create_superuser("admin", password=made)
            shown = "as OPS_ADMIN_PASSWORD says" if password else f"{made}  (shown this once)"
            self.stdout.write(f"\n  user: admin\n  password: {shown}\n")
        elif admin is not None and password and not admin.check_password(password):
            admin.set_password(password)
            admin.save(update_fields=["password"])
            self.stdout.write("The password of admin is now as OPS_ADMIN_PASSWORD says.")
