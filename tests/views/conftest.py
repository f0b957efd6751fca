from __future__ import annotations

import pytest
from django.test import Client

from tests.factories import make_user


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(make_user("olga", "view_task", "operate_task", "stop_task"))
    return client


@pytest.fixture
def viewer(client: Client) -> Client:
    client.force_login(make_user("vera", "view_task"))
    return client
