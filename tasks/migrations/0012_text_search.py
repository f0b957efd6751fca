"""What the list's free text searches: a table of words beside the tasks, indexed by trigrams.

The database keeps it by triggers, whoever writes a task. It stands apart from tasks_task, so that the engines'
observations, which write to thousands of rows a minute, never touch the index.
"""

from typing import Final

from django.db import DatabaseError, migrations, transaction
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

_COLUMNS: Final = ("name", "source_object", "target_object", "source_connection_id", "target_connection_id")

# A line each: nobody finds what begins in one column and ends in another.
_SQLITE_WORDS: Final = " || char(10) || ".join(f"coalesce({{row}}{column}, '')" for column in _COLUMNS)
_POSTGRESQL_WORDS: Final = f"lower(concat_ws(E'\\n', {', '.join(f'{{row}}{column}' for column in _COLUMNS)}))"

# A migration that lets SQLite write tasks_task anew (AlterField does) loses the triggers with the old table: it has to
# call `keep_on_sqlite` afterwards. A test sees to that.
_SQLITE_TRIGGERS: Final = (
    ("added", "INSERT", f"INSERT OR REPLACE INTO tasks_text (rowid, words) VALUES (new.id, {_SQLITE_WORDS})"),
    (
        "changed",
        f"UPDATE OF {', '.join(_COLUMNS)}",
        f"UPDATE tasks_text SET words = {_SQLITE_WORDS} WHERE rowid = old.id",
    ),
    ("gone", "DELETE", "DELETE FROM tasks_text WHERE rowid = old.id"),
)
_POSTGRESQL: Final = (
    "CREATE TABLE tasks_text (task_id bigint PRIMARY KEY, words text NOT NULL)",
    f"INSERT INTO tasks_text SELECT id, {_POSTGRESQL_WORDS.format(row='')} FROM tasks_task",
    f"""
    CREATE FUNCTION tasks_text_keep() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'TRUNCATE' THEN
            DELETE FROM tasks_text;
        ELSIF TG_OP = 'DELETE' THEN
            DELETE FROM tasks_text WHERE task_id = OLD.id;
        ELSE
            INSERT INTO tasks_text VALUES (NEW.id, {_POSTGRESQL_WORDS.format(row="NEW.")})
            ON CONFLICT (task_id) DO UPDATE SET words = EXCLUDED.words;
        END IF;
        RETURN NULL;
    END $$
    """,
    f"""
    CREATE TRIGGER tasks_text_rows AFTER INSERT OR DELETE OR UPDATE OF {", ".join(_COLUMNS)} ON tasks_task
    FOR EACH ROW EXECUTE FUNCTION tasks_text_keep()
    """,
    "CREATE TRIGGER tasks_text_all AFTER TRUNCATE ON tasks_task EXECUTE FUNCTION tasks_text_keep()",
)
_TRIGRAMS: Final = (
    "CREATE EXTENSION IF NOT EXISTS pg_trgm",
    "CREATE INDEX tasks_text_trigrams ON tasks_text USING gin (words gin_trgm_ops)",
)


def make(apps: object, editor: BaseDatabaseSchemaEditor) -> None:
    if editor.connection.vendor == "sqlite":
        editor.execute("CREATE VIRTUAL TABLE tasks_text USING fts5(words, tokenize = 'trigram')", None)
        editor.execute(
            f"INSERT INTO tasks_text (rowid, words) SELECT id, {_SQLITE_WORDS.format(row='')} FROM tasks_task", None
        )
        keep_on_sqlite(editor)
        return
    for statement in _POSTGRESQL:
        editor.execute(statement, None)
    try:
        with transaction.atomic(editor.connection.alias):
            for statement in _TRIGRAMS:
                editor.execute(statement, None)
    except DatabaseError as error:
        # Not everybody may create an extension, and not every server has it: without one the search reads all words.
        print(f"\n  No trigram index for the search by text ({error}). README, 'Deploy', says how to add it.")


def keep_on_sqlite(editor: BaseDatabaseSchemaEditor) -> None:
    """Create the triggers that keep `tasks_text` on SQLite."""
    for name, event, statement in _SQLITE_TRIGGERS:
        statement = statement.format(row="new.")
        editor.execute(f"CREATE TRIGGER tasks_text_{name} AFTER {event} ON tasks_task BEGIN {statement}; END", None)


def unmake(apps: object, editor: BaseDatabaseSchemaEditor) -> None:
    if editor.connection.vendor == "sqlite":
        for name, _, _ in _SQLITE_TRIGGERS:
            editor.execute(f"DROP TRIGGER tasks_text_{name}", None)
        editor.execute("DROP TABLE tasks_text", None)
        return
    editor.execute("DROP FUNCTION tasks_text_keep CASCADE", None)
    editor.execute("DROP TABLE tasks_text", None)


class Migration(migrations.Migration):
    dependencies = [("tasks", "0011_superseded_task_indexes")]

    operations = [migrations.RunPython(make, unmake)]
