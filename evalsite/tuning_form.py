"""The admin's form of a tuning. It turns text into `Asked`; what is allowed, that and the sampler say."""

from dataclasses import asdict
from typing import Any

from django import forms
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from evalsite.asked import COUNTS, Asked, Offset, OutOfRange
from generation.conditions import ALLOWED, NotAllowed, whole
from generation.forms import subjects_of
from generation.models import ImageModel, Tuning
from generation.planning import UNGUIDED


class TuningForm(forms.ModelForm):
    """Asks for a tuning; `asked` is what it amounts to once it is valid."""

    model = forms.ModelChoiceField(
        ImageModel.that_make_images(), empty_label=None, widget=UnfoldAdminSelectWidget
    )
    subjects = forms.CharField(
        label="Class labels or prompts",
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 4}),
        help_text="One a line; images are shared out among them. For a model with classes: names or numbers, "
        "and all of them if this is empty.",
    )
    steps = forms.CharField(
        label="Denoising steps N",
        initial="10, 20, 50, 100",
        widget=UnfoldAdminTextInputWidget,
        help_text="One number or several, at most 20 of them; each is tuned and judged on its own. Twice "
        "each must be within the model’s timesteps, since arms with 2N steps are judged too.",
    )
    offsets = forms.CharField(
        label="Offsets δ",
        initial="1",
        widget=UnfoldAdminTextInputWidget,
        help_text="Timesteps between the processors: whole numbers, or “step” for one step of the grid.",
    )
    reference_steps = forms.IntegerField(
        label="Steps of the reference",
        initial=250,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="What all settings are to come near to: the model's own images with many steps. (For "
        "pictures of your own as the reference there is the command manage.py tune.)",
    )
    references = forms.IntegerField(
        label="Images of the reference",
        initial=256,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="8 or more; with few of them nothing can be told apart.",
    )
    pilot = forms.IntegerField(
        label="Images of a pilot",
        initial=64,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="Drawn for each setting that is tried out; 8 or more.",
    )
    tries = forms.IntegerField(
        label="Settings tried",
        initial=8,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="Values of its parameter that each arm may try out, all the same number; 5 or more.",
    )
    judge = forms.IntegerField(
        label="Images of the judgement",
        initial=256,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="Drawn for each arm with other seeds than the pilots; 8 or more, 200 to tell arms apart.",
    )
    guidance = forms.FloatField(
        label="Guidance scale",
        required=False,
        widget=UnfoldAdminDecimalFieldWidget(attrs={"step": "any"}),
        help_text="For models with guidance. Empty: the model's usual value.",
    )

    class Meta:
        model = Tuning
        fields = ["name"]
        widgets = {"name": UnfoldAdminTextInputWidget}

    asked: Asked

    def clean_name(self) -> str:
        name = " ".join(self.cleaned_data["name"].split())
        if not name.isprintable():
            raise forms.ValidationError("A name is made of printable characters.")
        return name

    def clean_steps(self) -> list[int]:
        return _numbers("steps", self.cleaned_data["steps"])

    def clean_offsets(self) -> list[Offset]:
        found: list[Offset] = []
        for word in dict.fromkeys(self.cleaned_data["offsets"].replace(",", " ").split()):
            found += ["step"] if word == "step" else _numbers("offset", word)
        return found

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        for name, allowed in COUNTS.items():  # all of them at once; `Asked` names the first
            if (value := cleaned.get(name)) is not None and value not in allowed:
                self.add_error(name, str(NotAllowed(name, value, allowed)))
        model = cleaned.get("model")
        if model is not None and (guidance := cleaned.get("guidance")) is not None:
            if guidance not in ALLOWED["guidance"]:
                self.add_error("guidance", str(NotAllowed("guidance", guidance, ALLOWED["guidance"])))
            elif model.family in UNGUIDED:
                self.add_error("guidance", f"{model} has no guidance: leave it empty.")
        if self.errors or model is None:
            return cleaned
        try:
            text = cleaned["subjects"]
            if model.takes == ImageModel.Takes.LABELS and not text.strip():
                text = "all"
            subjects = [
                {name: value for name, value in asdict(subject).items() if value not in (None, "")}
                for subject in subjects_of(model, text)
            ]
            names = ("steps", "offsets", "reference_steps", *COUNTS)
            self.asked = Asked(subjects=subjects, **{name: cleaned[name] for name in names})
            if model.train_timesteps:
                self.asked.check(model.train_timesteps)
        except (NotAllowed, OutOfRange) as error:
            self.add_error(error.parameter if error.parameter in self.fields else None, str(error))
        return cleaned


def _numbers(name: str, text: str) -> list[int]:
    try:
        found = list(dict.fromkeys(whole(name, word) for word in text.replace(",", " ").split()))
    except NotAllowed as error:
        raise forms.ValidationError(str(error)) from error
    if not found:
        raise forms.ValidationError("At least one is needed.")
    return found
