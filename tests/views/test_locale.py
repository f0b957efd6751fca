"""Numbers read as the person who asks writes them; what machines read does not change."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from tasks.statuses import Status
from tests.factories import make_task


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("languages", "expected"),
    [
        ("", "1,234,567"),
        ("en-GB,en;q=0.9", "1,234,567"),
        ("de-CH,de;q=0.9", "1.234.567"),
        ("fr-FR", "1\xa0234\xa0567"),
        ("zh-CN", "1,234,567"),
        ("tlh,de;q=0.5", "1.234.567"),
        ("*;q=nonsense,,;", "1,234,567"),
        ("x" * 5_000, "1,234,567"),
    ],
)
def test_rows_are_counted_as_the_browser_reads_numbers(operator: Client, languages: str, expected: str) -> None:
    make_task(status=Status.RUNNING, rows_read=1_234_567)
    answer = operator.get("/tasks/", headers={"accept-language": languages})
    page = answer.content.decode()
    assert f'data-value="1234567">{expected}</span>' in page
    assert "Accept-Language" in answer["Vary"]


@pytest.mark.django_db
def test_a_shared_answer_is_not_shared_with_who_reads_numbers_otherwise(operator: Client, settings: Any) -> None:
    memory = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "locale"}
    settings.CACHES = {"default": memory, "answers": memory}
    task = make_task(status=Status.RUNNING, rows_read=1_234_567)
    found = [
        operator.get(f"/tasks/rows/?v=task-{task.pk}.0", headers={"accept-language": language}).content.decode()
        for language in ("en", "de")
    ]
    assert ">1,234,567<" in found[0]
    assert ">1.234.567<" in found[1]
