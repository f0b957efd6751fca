"""manage.py api_token USER: make a token for scripts."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError

from tasks.api.auth import make_token


class Command(BaseCommand):
    help = "Prints a token with the user's rights. A new password, or making the user inactive, ends all of them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("user", help="whose rights the token has")
        parser.add_argument("--days", type=int, default=90, help="how long it is good (default 90)")

    def handle(self, *args: Any, **options: Any) -> None:
        user = get_user_model().objects.filter(username=options["user"], is_active=True).first()
        if user is None:
            raise CommandError(f"There is no active user {options['user']}.")
        if not 1 <= options["days"] <= 3_650:
            raise CommandError("--days must be between 1 and 3650.")
        self.stdout.write(make_token(user, options["days"]))
