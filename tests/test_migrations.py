"""Migrations are run while the version before is still at work: what it writes must stay good."""

from __future__ import annotations

from django.db import migrations
from django.db.migrations.loader import MigrationLoader
from django.db.models import NOT_PROVIDED

#: What an older version neither sees nor breaks. Taking a column away needs two releases: first nobody reads it.
HARMLESS = (
    migrations.AddField,
    migrations.AlterField,
    migrations.CreateModel,
    migrations.AddIndex,
    migrations.RemoveIndex,
    migrations.AddConstraint,
    migrations.RemoveConstraint,
)
#: Of its own, each with the reason why the version before can live with it.
OWN = {"0012_text_search": "a table that it does not know, kept by the database itself"}


def later_operations() -> list[tuple[str, migrations.operations.base.Operation]]:
    loader = MigrationLoader(None)
    return [
        (name, operation)
        for (app, name), migration in sorted(loader.disk_migrations.items())
        if app == "tasks" and not name.startswith("0001")
        for operation in migration.operations
    ]


def test_each_step_is_one_that_the_version_before_can_live_with() -> None:
    assert [
        f"{name}: {operation}"
        for name, operation in later_operations()
        if not isinstance(operation, HARMLESS) and name not in OWN
    ] == []


def test_a_new_column_has_a_value_where_the_version_before_gives_none() -> None:
    made = {(name, op.name_lower) for name, op in later_operations() if isinstance(op, migrations.CreateModel)}
    for name, operation in later_operations():
        # To a table of the same migration the version before writes nothing.
        if isinstance(operation, migrations.AddField) and (name, operation.model_name_lower) not in made:
            field = operation.field
            assert field.null or field.db_default is not NOT_PROVIDED, (
                f"{name}: {operation.model_name}.{operation.name}"
            )
