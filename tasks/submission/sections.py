"""Read a submission with the place of everything in it: each problem says where it is and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

LONGEST: Final = 1_048_576  # characters of a submission file
DEEPEST: Final = 12


@dataclass(frozen=True, slots=True)
class Problem:
    """`place` is a path such as tasks[2].source.cursor; `line` is 1-based, 0 where there is no file."""

    place: str
    sentence: str
    line: int = 0

    def __str__(self) -> str:
        where = f"line {self.line}, {self.place}" if self.line and self.place else self.place or f"line {self.line}"
        return f"{where}: {self.sentence}"


class SubmissionInvalid(Exception):
    """Nothing was written. `problems` lists everything that is wrong."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


@dataclass(slots=True)
class Notes:
    """Collects problems; knows the line of each place."""

    lines: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def add(self, place: str, sentence: str) -> None:
        self.problems.append(Problem(place, sentence, self.line_of(place)))

    def warn(self, place: str, sentence: str) -> None:
        self.warnings.append(Problem(place, sentence, self.line_of(place)))

    def line_of(self, place: str) -> int:
        while place and place not in self.lines:
            place = place.rpartition(".")[0]
        return self.lines.get(place, 0)


def load(text: str) -> tuple[Any, Notes]:
    """Return the value of a YAML text with the lines of its places. Raises SubmissionInvalid."""
    if len(text) > LONGEST:
        raise SubmissionInvalid([Problem("", f"The file has {len(text)} characters; {LONGEST} is the most.", 1)])
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise SubmissionInvalid([Problem("", "Aliases (*name) are not allowed; write the value out.", 1)])
        node = yaml.compose(text, yaml.SafeLoader)
        notes = Notes()
        value = _value(node, "", notes, 0) if node is not None else None
    except yaml.YAMLError as error:
        raise SubmissionInvalid([_not_yaml(error)]) from None
    except (ValueError, RecursionError) as error:
        raise SubmissionInvalid([Problem("", f"The file can't be read: {error}.", 1)]) from None
    return value, notes


def _not_yaml(error: yaml.YAMLError) -> Problem:
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or "it can't be read"
    return Problem("", f"This is not YAML: {what}.", mark.line + 1 if mark else 1)


def _value(node: yaml.Node, place: str, notes: Notes, depth: int) -> Any:
    notes.lines[place] = node.start_mark.line + 1
    if depth > DEEPEST:
        raise ValueError("it is nested too deeply")
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else "?"
            inner = f"{place}.{key}" if place else key
            if key in mapping:
                notes.lines[inner] = key_node.start_mark.line + 1
                notes.add(inner, "This key is given twice.")
            mapping[key] = _value(value_node, inner, notes, depth + 1)
        return mapping
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, f"{place}[{n}]", notes, depth + 1) for n, item in enumerate(node.value)]
    loader = yaml.SafeLoader("")
    return loader.construct_object(node)


_REQUIRED: Final = object()


class Section:
    """A mapping being read: every key has to be asked for once, what is left is unknown."""

    def __init__(self, value: Any, place: str, notes: Notes) -> None:
        self.place = place
        self.notes = notes
        self.known: list[str] = []
        self.values: dict[str, Any] = value if isinstance(value, dict) else {}
        if not isinstance(value, dict):
            notes.add(place, f"A mapping is expected here, not {_shown(value)}.")

    def at(self, key: str) -> str:
        return f"{self.place}.{key}" if self.place else key

    def add(self, key: str, sentence: str) -> None:
        self.notes.add(self.at(key) if key else self.place, sentence)

    def _get(self, key: str, default: Any) -> Any:
        self.known.append(key)
        value = self.values.get(key)
        if value is None or value == "":
            if default is _REQUIRED and isinstance(self.values, dict):
                self.add(key, "This is required.")
            return None if default is _REQUIRED else default
        return value

    def text(self, key: str, default: Any = _REQUIRED, *, longest: int = 255) -> str:
        value = self._get(key, default)
        if value is None:
            return ""
        if isinstance(value, bool | dict | list):
            self.add(key, f"A text is expected here, not {_shown(value)}.")
            return ""
        text = str(value)
        if len(text) > longest:
            self.add(key, f"This has {len(text)} characters; {longest} is the most.")
        if any(ord(character) < 32 and character not in "\n\t" for character in text):
            self.add(key, "This holds control characters.")
        return text

    def integer(self, key: str, default: int, low: int, high: int) -> int:
        value = self._get(key, default)
        if isinstance(value, bool) or not isinstance(value, int):
            self.add(key, f"A whole number is expected here, not {_shown(value)}.")
            return default
        if not low <= value <= high:
            self.add(key, f"This must be between {low} and {high}, not {value}.")
            return default
        return value

    def number(self, key: str, default: float, low: float, high: float) -> float:
        value = self._get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.add(key, f"A number is expected here, not {_shown(value)}.")
            return default
        if not low <= value <= high:
            self.add(key, f"This must be between {_plain(low)} and {_plain(high)}, not {_plain(value)}.")
            return default
        return float(value)

    def boolean(self, key: str, default: bool) -> bool:
        value = self._get(key, default)
        if not isinstance(value, bool):
            self.add(key, f"true or false is expected here, not {_shown(value)}.")
            return default
        return value

    def choice(self, key: str, choices: Collection[str], default: Any = _REQUIRED) -> str:
        value = self._get(key, default)
        if value is not None and (not isinstance(value, str) or value not in choices):
            self.add(key, f"This must be {' or '.join(choices)}, not {_shown(value)}.{near(str(value), choices)}")
            return ""
        return value or ""

    def texts(self, key: str) -> list[str]:
        value = self._get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
            self.add(key, f"A list of names is expected here, not {_shown(value)}.")
            return []
        if len(set(value)) < len(value):
            self.add(key, "A name stands here twice.")
        return list(value)

    def section(self, key: str) -> Section:
        value = self._get(key, _REQUIRED)
        return Section({} if value is None else value, self.at(key), self.notes)

    def sections(self, key: str) -> Iterator[Section]:
        value = self._get(key, [])
        if not isinstance(value, list):
            self.add(key, f"A list is expected here, not {_shown(value)}.")
            return
        for n, item in enumerate(value):
            yield Section(item, f"{self.at(key)}[{n}]", self.notes)

    def close(self) -> None:
        """Report the keys that nobody asked for."""
        for key in self.values:
            if key not in self.known:
                self.add(key, f"This key is not known.{near(key, self.known)}")


def near(word: str, words: Collection[str]) -> str:
    """Return the hint at the one of `words` that `word` may have been meant to be."""
    close = difflib.get_close_matches(word, list(words), 1)
    return f" Did you mean {close[0]}?" if close else f" Known: {', '.join(sorted(words))}." if words else ""


def _plain(value: float) -> str:
    return f"{value:.0f}" if value == int(value) else f"{value:g}"


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
