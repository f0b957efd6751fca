"""JSONL and CSV: from bytes to whole records, and from records to rows."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any, Final

import orjson

from tasks.engines.local.sources.base import BadRow, Column, Row

FORMATS: Final = ("jsonl", "csv")
SCHEMA_LINES: Final = 100  # JSONL: the columns are the keys of the first lines
SHOWN: Final = 500  # characters of a bad row that are kept
_BOM = b"\xef\xbb\xbf"


def format_of(name: str) -> str:
    """Return the format that a file's name suggests; empty: none."""
    suffix = name.rpartition(".")[2].lower()
    return {"jsonl": "jsonl", "ndjson": "jsonl", "json": "jsonl", "csv": "csv"}.get(suffix, "")


def split(data: bytes, format_: str) -> list[bytes]:
    """Return the whole records of `data` with their line ends; what follows the last of them waits for its end."""
    whole = data[: data.rfind(b"\n") + 1]
    records = whole.splitlines(keepends=True) if b"\r" not in whole else _at_newlines(whole)
    return _join_quoted(records) if format_ == "csv" and b'"' in whole else records


def _at_newlines(data: bytes) -> list[bytes]:
    """bytes.splitlines() also ends lines at a lone carriage return, which is data here."""
    return [part + b"\n" for part in data.split(b"\n")[:-1]]


def _join_quoted(parts: list[bytes]) -> list[bytes]:
    """Join lines within a quoted CSV value: a record is whole when its quotes are even in number."""
    records: list[bytes] = []
    open_part = b""
    for part in parts:
        open_part += part
        if open_part.count(b'"') % 2 == 0:
            records.append(open_part)
            open_part = b""
    return records


def header_of(record: bytes) -> tuple[str, ...]:
    text = record.removeprefix(_BOM).decode(errors="replace")
    return tuple(name.strip() for name in next(csv.reader(io.StringIO(text, newline="")), []))


def columns_of(data: bytes, format_: str) -> tuple[Column, ...] | None:
    """Return the columns that the beginning of a file shows; None where it shows none yet."""
    records = split(data, format_)
    if not records:
        return None
    if format_ == "csv":
        return tuple(Column(name, "text") for name in header_of(records[0]))
    types: dict[str, str] = {}
    for record in records[:SCHEMA_LINES]:
        try:
            value = orjson.loads(record)
        except orjson.JSONDecodeError:
            continue
        if isinstance(value, dict):
            for name, item in value.items():
                types[name] = _wider(types.get(name), item)
    return tuple(Column(name, type_ or "any") for name, type_ in types.items()) or None


def _wider(known: str | None, value: Any) -> str:
    """Return the type that holds both what was seen before and `value`."""
    if value is None:
        return known or ""
    names = {bool: "boolean", int: "integer", float: "real", str: "text", dict: "json", list: "json"}
    name = names[type(value)]
    if not known or known == name:
        return name
    return "real" if {known, name} == {"integer", "real"} else "any"


def parse(records: Sequence[bytes], names: tuple[str, ...], format_: str) -> tuple[list[Row], list[BadRow]]:
    """Return the rows of `records` and those that can't be read, each with its reason."""
    return (_parse_csv if format_ == "csv" else _parse_jsonl)(records, names)


def _parse_jsonl(records: Sequence[bytes], names: tuple[str, ...]) -> tuple[list[Row], list[BadRow]]:
    rows: list[Row] = []
    bad: list[BadRow] = []
    loads, exact = orjson.loads, list(names)
    for index, record in enumerate(records):
        try:
            value = loads(record)
        except orjson.JSONDecodeError as error:
            if record.strip():
                bad.append(_bad(index, f"not JSON: {error}", record))
            else:
                bad.append(_bad(index, "an empty line", record))
            continue
        if not isinstance(value, dict):
            bad.append(_bad(index, "not a JSON object", record))
        elif list(value) == exact:
            rows.append(tuple(value.values()))
        elif unknown := [name for name in value if name not in names]:
            bad.append(_bad(index, f"unknown field {', '.join(unknown)}", record))
        else:
            rows.append(tuple(map(value.get, names)))
    return rows, bad


def _parse_csv(records: Sequence[bytes], names: tuple[str, ...]) -> tuple[list[Row], list[BadRow]]:
    rows: list[Row] = []
    bad: list[BadRow] = []
    for index, record in enumerate(records):
        try:
            fields = next(csv.reader(io.StringIO(record.removeprefix(_BOM).decode(), newline=""), strict=True), [])
        except (UnicodeDecodeError, csv.Error) as error:
            bad.append(_bad(index, f"not CSV: {error}", record))
            continue
        if len(fields) == len(names):
            rows.append(tuple(fields))
        elif fields:
            bad.append(_bad(index, f"{len(fields)} fields instead of {len(names)}", record))
        else:
            bad.append(_bad(index, "an empty line", record))
    return rows, bad


def _bad(index: int, reason: str, record: bytes) -> BadRow:
    return BadRow(index, reason, record.decode(errors="replace").rstrip("\r\n")[:SHOWN], len(record))
