"""The form of an alert rule, in the console and in the admin: the same questions as a submission file."""

from __future__ import annotations

import re
from typing import Any, Final

from django import forms

from tasks.alerts import quiet
from tasks.alerts.metrics import METRICS, Metric
from tasks.models import AlertRule, Comparison, RecipientGroup, Scope, Severity
from tasks.submission import check_rule

#: place in a submission -> field of the form, where they differ
_FIELDS: Final = {
    "scope.tasks": "names",
    "scope.groups": "names",
    "scope.owners": "names",
    "to": "to_owner",
    "to.people": "people",
    "to.groups": "groups",
}
_UNITS: Final = {
    unit: seconds
    for units, seconds in (
        (("", "s", "sec", "secs", "second", "seconds"), 1),
        (("m", "min", "mins", "minute", "minutes"), 60),
        (("h", "hour", "hours"), 3_600),
        (("d", "day", "days"), 86_400),
    )
    for unit in units
}
_SHOWN: Final = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
_DURATION: Final = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)\s*([a-z]*)\Z")


class DurationField(forms.Field):
    """A length of time as people write it: 90 s, 5 min, 1.5 h, 2 d. Its value is in seconds, whole unless `exact`."""

    def __init__(self, *, exact: bool = False, **values: Any) -> None:
        super().__init__(**values)
        self.exact = exact
        self.widget.attrs |= {"size": 8, "maxlength": 20, "autocomplete": "off"}

    def to_python(self, value: Any) -> float | None:
        text = str(value or "").strip()[:40]
        if not text:
            return None
        match = _DURATION.match(text.lower())
        if not match or match[2] not in _UNITS:
            raise forms.ValidationError(f"{text} is no length of time; write it as 90 s, 5 min, 1 h or 2 d.")
        seconds = float(match[1]) * _UNITS[match[2]]
        return seconds if self.exact else round(seconds)

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, int | float):
            unit, seconds = next(((u, s) for u, s in _SHOWN if value % s == 0 and (value or s == 1)), ("s", 1))
            return f"{value / seconds:g} {unit}" if value < 1e6 or seconds > 1 else f"{int(value)} {unit}"
        return value


def _names(text: str) -> list[str]:
    return list(dict.fromkeys(part for part in re.split(r"[\s,]+", text) if part))


class RuleForm(forms.ModelForm):
    """In the console a rule's metric is chosen before and stays; what it does not ask for is no question then."""

    metric = forms.ChoiceField(choices=[(code, metric.label) for code, metric in METRICS.items()])
    severity = forms.ChoiceField(choices=Severity.choices, widget=forms.RadioSelect, initial=Severity.IMPORTANT)
    comparison = forms.ChoiceField(choices=Comparison.choices, required=False)
    threshold = forms.FloatField(required=False, min_value=0, help_text="In the metric's unit.")
    window = DurationField(required=False, label="Window")
    resolve_after = DurationField(
        label="Resolve after", initial=60, help_text="For so long all must be well before the alert resolves."
    )
    scope = forms.ChoiceField(choices=Scope.choices, widget=forms.RadioSelect, initial=Scope.ALL, label="Which tasks")
    names = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
        label="Their names",
        help_text="Of the tasks, resource groups or owners; separated by commas or lines.",
    )
    interval = DurationField(initial=3_600, label="Remind every", help_text="While it is open. 0: never.")
    cap = forms.IntegerField(
        min_value=0, initial=60, label="At most", help_text="Notices per period, however many hear each. 0: no limit."
    )
    cap_period = DurationField(initial=3_600, label="Period")
    quiet = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
        label="Quiet times",
        help_text="One a line: mon-fri 22:00-06:00, or sat,sun all day. What is held back is told afterwards.",
    )
    zone = forms.CharField(
        max_length=64, initial="UTC", label="Their time zone", help_text="For example Europe/Berlin."
    )
    to_owner = forms.BooleanField(required=False, label="The task’s owner")
    people = forms.CharField(
        required=False, max_length=2_000, label="People", help_text="Names of users, separated by commas; by e-mail."
    )
    groups = forms.MultipleChoiceField(
        required=False, widget=forms.CheckboxSelectMultiple, label="Recipient groups", help_text=""
    )

    class Meta:
        model = AlertRule
        fields = ("name", "description", "enabled")
        widgets = {"description": forms.Textarea(attrs={"rows": 2})}

    def __init__(
        self, *args: Any, metric: Metric | None = None, copied: AlertRule | None = None, **values: Any
    ) -> None:
        rule = copied or values.get("instance")
        values["initial"] = {**(_initial(metric, rule)), **(values.get("initial") or {})}
        super().__init__(*args, **values)
        groups = list(RecipientGroup.objects.order_by("name").values_list("name", flat=True)[:200])
        groups += [name for name in self.initial.get("groups", ()) if name not in groups]
        self.fields["groups"].choices = [(name, name) for name in groups]  # type: ignore[attr-defined]
        if metric is not None:
            self._ask_only_what_counts(metric)
        for name in self.fields:
            if self.is_bound and name in self.errors:
                self.fields[name].widget.attrs |= {"aria-invalid": "true"}

    def _ask_only_what_counts(self, metric: Metric) -> None:
        self.fields["metric"].widget = forms.HiddenInput()
        if metric.threshold is None:
            del self.fields["threshold"], self.fields["comparison"]
        else:
            if metric.is_of_time:
                del self.fields["comparison"]
            if metric.unit == "s":
                self.fields["threshold"] = DurationField(label="Threshold", exact=True)
            else:
                self.fields["threshold"].required = True
                self.fields["threshold"].help_text = f"In {metric.unit}."
        if metric.window is None:
            del self.fields["window"]
        elif metric.averages:
            self.fields["window"].help_text = "Over which it is counted; 30 s at least."
        else:
            self.fields["window"].help_text = "For so long it must be so before it is an alert."

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if self.errors:
            return cleaned
        plan, problems = check_rule(self._as_submitted(cleaned), self.instance.names if self.instance.pk else ())
        for problem in problems:
            field = _FIELDS.get(problem.place, problem.place)
            self.add_error(field if field in self.fields else None, problem.sentence)
        cleaned["plan"] = plan
        return cleaned

    def _save_m2m(self) -> None:
        """People and groups are saved with the plan: here they are names, not keys."""

    def _as_submitted(self, cleaned: dict[str, Any]) -> dict[str, Any]:
        """Return the form's content as a submission file would give it."""
        metric = METRICS[cleaned["metric"]]
        asked = {"threshold": metric.threshold is not None, "window": metric.window is not None}
        asked["comparison"] = metric.threshold is not None
        names = _names(cleaned["names"])
        to = {"owner": cleaned["to_owner"], "people": _names(cleaned["people"]), "groups": cleaned["groups"]}
        return {
            **{name: cleaned[name] for name in ("name", "description", "enabled", "metric", "severity", "zone")},
            **{name: cleaned[name] for name in ("resolve_after", "interval", "cap", "cap_period")},
            **{
                name: cleaned[name]
                for name, is_asked in asked.items()
                if is_asked and cleaned.get(name) not in (None, "")
            },
            **({"scope": {cleaned["scope"]: names}} if cleaned["scope"] != Scope.ALL else {}),
            "quiet": [line.strip() for line in cleaned["quiet"].splitlines() if line.strip()],
            "to": to,
        }


def _initial(metric: Metric | None, rule: AlertRule | None) -> dict[str, Any]:
    if rule is None or not rule.pk:
        if metric is None:
            return {}
        return {
            "metric": metric.code.value,
            "comparison": metric.comparison,
            "threshold": metric.threshold,
            "window": metric.window,
        }
    names = ("description", "severity", "metric", "comparison", "threshold", "window", "resolve_after", "scope")
    names += ("interval", "cap", "cap_period", "zone", "to_owner")
    return {
        **{name: getattr(rule, name) for name in names},
        "names": ", ".join(rule.names),
        "quiet": "\n".join(quiet.words(span) for span in rule.quiet),
        "people": ", ".join(person.get_username() for person in rule.people.order_by("pk")),
        "groups": list(rule.groups.values_list("name", flat=True)),
    }
