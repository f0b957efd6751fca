"""The form in an operation's dialog: what can be said besides yes."""

from __future__ import annotations

import uuid
from typing import Any

from django import forms
from django.conf import settings

from tasks.models import Batch, Task
from tasks.models.task import StartPosition
from tasks.statuses import Operation


class OperationForm(forms.Form):
    """`key` is made once, when the dialog is shown: sent twice, it gets the first answer again."""

    key = forms.CharField(max_length=100, required=False, widget=forms.HiddenInput)
    start = forms.ChoiceField(
        choices=StartPosition.choices, required=False, widget=forms.RadioSelect, label="Start position"
    )
    snapshot = forms.CharField(max_length=200, required=False, widget=forms.HiddenInput)  # of a chosen one
    confirm = forms.CharField(max_length=200, required=False, label="Type the task’s name to confirm")
    reason = forms.CharField(max_length=500, required=False)

    def __init__(self, data: Any = None, *, task: Task, operation: Operation, snapshot: str = "") -> None:
        initial = {"key": uuid.uuid4().hex, "start": task.start_position, "snapshot": snapshot}
        super().__init__(data, initial=initial, prefix=None)
        self.task = task
        self.fields["reason"].label = reason_label(operation)
        self.fields["reason"].required = operation in settings.OPS_REASON_REQUIRED
        if operation is not Operation.RUN:
            del self.fields["start"]
        if operation is not Operation.CONTINUE:
            del self.fields["snapshot"]
        if operation is not Operation.STOP:
            del self.fields["confirm"]
        else:
            self.fields["confirm"].widget.attrs = {"autofocus": True, "autocomplete": "off", "spellcheck": "false"}
        self.fields["reason"].widget.attrs = {"autocomplete": "off"}
        for name in self.fields:
            if self.is_bound and name in self.errors:
                self.fields[name].widget.attrs |= {"aria-invalid": "true"}

    def clean_confirm(self) -> str:
        typed: str = self.cleaned_data["confirm"]
        if typed != self.task.name:
            raise forms.ValidationError(f"This is not the task’s name. Type {self.task.name} to stop it.")
        return typed


class BulkForm(forms.Form):
    """What can be said besides yes for many tasks. `count` is how many the person has seen would be asked for."""

    key = forms.CharField(max_length=100, widget=forms.HiddenInput)
    start = forms.ChoiceField(
        choices=[("", "As each task says"), *StartPosition.choices],
        required=False,
        widget=forms.RadioSelect,
        label="Start position",
    )
    concurrency = forms.IntegerField(
        min_value=1, max_value=200, initial=10, label="At once", help_text="Tasks in progress at the same time."
    )
    stop_on_error = forms.BooleanField(required=False, label="Leave out the rest when one goes wrong")
    confirm = forms.CharField(max_length=20, required=False)
    reason = forms.CharField(max_length=500, required=False)

    again = forms.CharField(max_length=20, required=False, widget=forms.HiddenInput)  # the batch that is repeated

    def __init__(self, data: Any = None, *, operation: Operation, count: int, again: Batch | None = None) -> None:
        initial: dict[str, Any] = {"key": uuid.uuid4().hex}
        if again is not None:
            initial |= {name: getattr(again, name) for name in ("reason", "concurrency", "stop_on_error")}
            initial |= {"start": again.start_position, "again": again.pk}
        super().__init__(data, initial=initial)
        self.count = count
        self.fields["reason"].label = reason_label(operation)
        self.fields["reason"].required = operation in settings.OPS_REASON_REQUIRED
        if operation is not Operation.RUN:
            del self.fields["start"]
        if operation is not Operation.STOP:
            del self.fields["confirm"]
        else:
            self.fields["confirm"].label = f"Type {count}, the number of tasks that you have agreed to stop"
        for name in self.fields:
            self.fields[name].widget.attrs |= {"autocomplete": "off"}
            if self.is_bound and name in self.errors:
                self.fields[name].widget.attrs |= {"aria-invalid": "true"}

    def clean_confirm(self) -> str:
        typed: str = self.cleaned_data["confirm"]
        if typed.strip().replace(",", "") != str(self.count):
            raise forms.ValidationError(f"Type {self.count} to stop so many tasks.")
        return typed


def reason_label(operation: Operation) -> str:
    if operation in settings.OPS_REASON_REQUIRED:
        return "Reason (kept in the history)"
    return "Reason (optional, kept in the history)"
