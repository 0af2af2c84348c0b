"""Who may work on a study beside its owner: the form that gives and takes access."""

from typing import Any

from django import forms
from django.contrib.auth import get_user_model
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from studies import access
from studies.models import Member, Study

NOBODY = ""  # the role that takes access away


class MemberForm(forms.Form):
    """A user's name and what they are to be; a role that is empty takes their access away."""

    user = forms.CharField(
        label="User name",
        max_length=150,
        widget=UnfoldAdminTextInputWidget,
        help_text="With which they sign in. They need staff status, to reach these pages at all.",
    )
    role = forms.ChoiceField(
        choices=[
            (Member.Role.READER, "read-only: sees and exports, changes nothing"),
            (Member.Role.COLLABORATOR, "collaborator: edits, publishes, invites, pauses, excludes by rule"),
            (NOBODY, "no access"),
        ],
        required=False,
        widget=UnfoldAdminSelectWidget,
        help_text="Closing the study, showing preferences before its end and giving access stay the owner's.",
    )

    def __init__(self, study: Study, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.study = study

    def clean_user(self) -> Any:
        name = self.cleaned_data["user"].strip()
        found = get_user_model().objects.filter(username=name, is_active=True, is_staff=True).first()
        if found is None:
            raise forms.ValidationError(
                f"Nobody signs in here as “{name}”: ask an administrator to add them."
            )
        if found.pk == self.study.owner_id:
            raise forms.ValidationError(f"“{name}” owns the study and may do all.")
        return found

    def apply(self, actor: Any) -> None:
        """Give or take what was asked for."""
        user, role = self.cleaned_data["user"], self.cleaned_data["role"]
        if role == NOBODY:
            access.take(self.study, user, actor)
        else:
            access.give(self.study, user, role, actor)
