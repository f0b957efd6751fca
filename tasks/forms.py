"""The form in an operation's dialog: what can be said besides yes."""

from __future__ import annotations

import uuid
from typing import Any

from django import forms

from tasks.models import Task
from tasks.models.task import StartPosition
from tasks.statuses import Operation


class OperationForm(forms.Form):
    """`key` is made once, when the dialog is shown: sent twice, it gets the first answer again."""

    key = forms.CharField(max_length=100, required=False, widget=forms.HiddenInput)
    start = forms.ChoiceField(
        choices=StartPosition.choices, required=False, widget=forms.RadioSelect, label="Start position"
    )
    confirm = forms.CharField(max_length=200, required=False, label="Type the task’s name to confirm")
    reason = forms.CharField(max_length=500, required=False, label="Reason (optional, kept in the history)")

    def __init__(self, data: Any = None, *, task: Task, operation: Operation) -> None:
        super().__init__(data, initial={"key": uuid.uuid4().hex, "start": task.start_position}, prefix=None)
        self.task = task
        if operation is not Operation.RUN:
            del self.fields["start"]
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
