"""From pictures to a draft: the form over an experiment, and the gallery's action on pairs."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from unfold.admin import ModelAdmin
from unfold.decorators import action
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from generation.models import Experiment, Pair
from studies import composing
from studies.models import Study

MOST_PICKED = 5_000  # pairs; people see a small part of more


class ComposeForm(forms.Form):
    """Which pictures, and which kind of study."""

    experiment = forms.ModelChoiceField(
        Experiment.that_stand_alone().order_by("-created"),
        empty_label="Choose an experiment",
        widget=UnfoldAdminSelectWidget,
        help_text="Pairs that are made can be shown; those left out in the gallery are not.",
    )
    preset = forms.ChoiceField(
        label="Kind of study",
        choices=[(preset.name, preset.words) for preset in composing.PRESETS.values()],
        widget=UnfoldAdminSelectWidget,
        help_text="Everything it sets can be changed in the draft.",
    )
    title = forms.CharField(
        required=False,
        max_length=composing.LONGEST_TITLE,
        widget=UnfoldAdminTextInputWidget,
        help_text="Participants see it on the first page. Empty: “Which pictures look better?”.",
    )

    def make(self, owner: Any) -> Study | None:
        """The draft; None where the experiment lacks what the preset compares, said at the field."""
        said = self.cleaned_data
        try:
            return composing.from_experiment(
                composing.PRESETS[said["preset"]],
                said["experiment"],
                title=said["title"] or "Which pictures look better?",
                owner=owner,
            )
        except composing.NothingToCompare as error:
            self.add_error("preset", str(error))
            return None


@action(description="Make a study of these", permissions=["make_study"])
def make_a_study(model_admin: ModelAdmin, request: HttpRequest, pairs: QuerySet[Pair]) -> HttpResponse | None:
    """A draft over the pairs that are ticked."""
    picked = list(
        Pair.objects.filter(pk__in=pairs.values("pk"))
        .select_related("experiment", "item", "baseline", "treatment")
        .order_by("pk")[: MOST_PICKED + 1]
    )
    if len(picked) > MOST_PICKED:
        messages.error(request, f"More than {MOST_PICKED:,} pairs: filter the gallery further.")
        return None
    try:
        study = composing.from_pairs(picked, owner=request.user)
    except composing.NothingToCompare as error:
        messages.error(request, str(error))
        return None
    left_out = sum(bool(pair.excluded) for pair in picked)
    messages.success(
        request,
        f"The draft takes {len(picked) - left_out} pairs"
        + (f"; {left_out} are left out of studies" if left_out else "")
        + ". Look through it, then publish it.",
    )
    return redirect("admin:studies_study_change", study.pk)


def _may_make(request: HttpRequest) -> bool:
    return request.user.has_perm("studies.add_study")


# The gallery belongs to generation, which knows nothing of studies: what is done here hangs itself on.
_gallery: Any = admin.site.get_model_admin(Pair)
_gallery.actions = [*_gallery.actions, make_a_study]
_gallery.has_make_study_permission = _may_make
