"""Forms of the admin. They turn text into a plan; what is allowed, `conditions` and `planning` say."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.db import IntegrityError
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminFileFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from generation import catalogue, item_files, planning, presets, uploads
from generation.conditions import ALLOWED, NotAllowed, PredictorNoise, Recipe, Sampler, Spacing, seeds, whole
from generation.image_folders import BadImages
from generation.models import Experiment, ImageModel
from generation.scoring import names as metric_names
from generation.sources import BadModel, find_label
from generation.subjects import lines as lines_of

FEW_CLASSES = 12  # are listed on the form
CONTROLS: dict[str, tuple[str, dict[str, Any]]] = {
    "ddpm-2n": ("The baseline with twice the steps", {"sampler": Sampler.DDPM, "steps_factor": 2}),
    "noise": (
        "The baseline with SE2P's noise, without its second processor",
        {"sampler": Sampler.DDPM, "noise_scale": "se2p"},
    ),
    "fixed_large": (
        "The baseline with the larger variance (fixed_large)",
        {"sampler": Sampler.DDPM, "variance": "fixed_large"},
    ),
    "gamma0": ("SE2P with γ = 0: one evaluation a step", {"sampler": Sampler.SE2P, "gamma": 0.0}),
    "naive": ("Two processors without the predictor (naive)", {"sampler": Sampler.NAIVE}),
    "ddim": ("DDIM", {"sampler": Sampler.DDIM}),
}


class ModelForm(forms.ModelForm):
    """Adds a model; a source that can't be one is refused with the reason."""

    class Meta:
        model = ImageModel
        fields = ["name", "source", "revision", "takes"]
        help_texts = {"takes": "Asked for hub models only; a folder says it itself."}

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if "source" in cleaned:
            self.instance.source = cleaned["source"]
            self.instance.revision = cleaned.get("revision", "")
            self.instance.takes = cleaned.get("takes", "")
            try:
                cleaned["takes"] = catalogue.fill(self.instance).takes
            except BadModel as error:
                self.add_error("source", str(error))
        return cleaned


class ExperimentForm(forms.ModelForm):
    """Asks for an experiment; `plan` is what it amounts to once it is valid."""

    model = forms.ModelChoiceField(
        ImageModel.that_make_images(), empty_label=None, widget=UnfoldAdminSelectWidget
    )
    subjects = forms.CharField(
        label="Class labels or prompts",
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 5}),
        help_text="One a line. For a model with classes: names or numbers, or “all”. "
        "Leave it empty for a model that takes neither. Each is a sampled unit: with a few, intervals that "
        "speak of others like them are wide.",
    )
    seeds = forms.CharField(
        initial="0:10",
        widget=UnfoldAdminTextInputWidget,
        help_text="0:10 is 0 to 9; several can be joined by commas. Each label or prompt gets every seed.",
    )
    items_file = forms.FileField(
        label="Or a file of items",
        required=False,
        widget=UnfoldAdminFileFieldWidget,
        help_text="Instead of the labels or prompts above: a text with one a line, or a CSV whose first line "
        "names its columns (prompt, label, seed, negative_prompt). With a column of seeds, the seeds above "
        "are not used.",
    )
    steps = forms.CharField(
        label="Denoising steps",
        initial="20",
        widget=UnfoldAdminTextInputWidget,
        help_text="One number, or several joined by commas, such as 10, 20, 50, 100.",
    )
    gamma = forms.FloatField(
        label="γ, mixing",
        initial=0.015,
        widget=UnfoldAdminDecimalFieldWidget(attrs={"step": "any"}),
        help_text="Weight of the first processor. The paper's value is 0.015.",
    )
    rho = forms.FloatField(
        label="ρ, variance scale",
        initial=1.35,
        widget=UnfoldAdminDecimalFieldWidget(attrs={"step": "any"}),
        help_text="Scale of the predicted latent's noise. The paper's value is 1.35.",
    )
    offset = forms.CharField(
        label="δ, offset",
        initial="1",
        widget=UnfoldAdminTextInputWidget,
        help_text="Timesteps between the processors: a whole number, or “step” for one step of the grid.",
    )
    predictor_noise = forms.ChoiceField(
        choices=[
            (PredictorNoise.OWN.value, "its own"),
            (PredictorNoise.SHARED.value, "shared with the step"),
        ],
        widget=UnfoldAdminSelectWidget,
        help_text="Whether the predicted latent has a noise of its own.",
    )
    controls = forms.MultipleChoiceField(
        label="Also make",
        required=False,
        choices=[(key, words) for key, (words, _) in CONTROLS.items()],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="Each is paired with the baseline on the same items.",
    )
    spacing = forms.ChoiceField(
        label="Timestep spacing",
        required=False,
        choices=[("", "the model's own"), *((s.value, s.value) for s in Spacing)],
        widget=UnfoldAdminSelectWidget,
        help_text="How the timesteps are spread over the training's.",
    )
    guidance = forms.FloatField(
        label="Guidance scale",
        required=False,
        widget=UnfoldAdminDecimalFieldWidget(attrs={"step": "any"}),
        help_text="For models with guidance. Empty: the model's usual value.",
    )

    class Meta:
        model = Experiment
        fields = ["name"]
        widgets = {"name": UnfoldAdminTextInputWidget}

    plan: planning.Plan

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "subjects" in self.fields:
            known = [
                f"{model}: {', '.join(model.labels.values())}."
                for model in ImageModel.objects.all()
                if 0 < len(model.labels) <= FEW_CLASSES
            ]
            self.fields["subjects"].help_text = " ".join(
                [str(self.base_fields["subjects"].help_text), *known]
            )

    def clean_seeds(self) -> list[int]:
        try:
            return seeds(self.cleaned_data["seeds"])
        except NotAllowed as error:
            raise forms.ValidationError(str(error)) from error

    def clean_steps(self) -> list[int]:
        try:
            return [whole("steps", word) for word in self.cleaned_data["steps"].replace(",", " ").split()]
        except NotAllowed as error:
            raise forms.ValidationError(f"{error}; several are joined by commas, such as 10, 20.") from error

    def clean_offset(self) -> int | str:
        text = self.cleaned_data["offset"].strip()
        if text == "step":
            return text
        try:
            return whole("offset", text)
        except NotAllowed as error:
            raise forms.ValidationError(str(error)) from error

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        for parameter in ("gamma", "rho", "guidance"):
            value = cleaned.get(parameter)
            if value is not None and value not in ALLOWED[parameter]:
                self.add_error(parameter, str(NotAllowed(parameter, value, ALLOWED[parameter])))
        if cleaned.get("items_file"):
            self._read_items(cleaned)
        elif "model" in cleaned:
            try:
                cleaned["subjects"] = subjects_of(cleaned["model"], cleaned.get("subjects", ""))
            except NotAllowed as error:
                self.add_error("subjects", str(error))
        if not self.errors:
            try:
                self.plan = self._plan(cleaned)
            except NotAllowed as error:
                self.add_error(error.parameter if error.parameter in self.fields else None, str(error))
        return cleaned

    def _read_items(self, cleaned: dict[str, Any]) -> None:
        """The items of the file, as `part`."""
        if cleaned.get("subjects", "").strip():
            self.add_error("items_file", "Either a file or labels and prompts above: empty one of them.")
        elif "model" in cleaned and "seeds" in cleaned:
            file = cleaned["items_file"]
            try:
                cleaned["part"] = item_files.part(file.read(), file.name, cleaned["model"], cleaned["seeds"])
            except item_files.BadRows as error:
                self.add_error("items_file", str(error).splitlines())
            except NotAllowed as error:
                self.add_error("items_file", str(error))

    def _plan(self, cleaned: dict[str, Any]) -> planning.Plan:
        own = {name: cleaned[name] for name in ("gamma", "rho", "offset", "predictor_noise")}
        recipes = [planning.BASELINE, Recipe(sampler=Sampler.SE2P, **own)]
        recipes += [_control(CONTROLS[key][1], own) for key in cleaned["controls"]]
        if spacing := cleaned["spacing"]:
            recipes = [replace(recipe, spacing=Spacing(spacing)) for recipe in recipes]
        return planning.Plan(
            name=cleaned["name"],
            parts=[
                cleaned.get("part")
                or planning.crossed(cleaned["model"], cleaned["subjects"], cleaned["seeds"])
            ],
            steps=cleaned["steps"],
            recipes=recipes,
            guidance=cleaned["guidance"],
            metrics=metric_names.DEFAULT,
        )


class PresetForm(forms.Form):
    """Asks for one of the presets; `plan` is what it amounts to once it is valid."""

    preset = forms.ChoiceField(
        choices=[(preset.name, preset.words) for preset in presets.PRESETS.values()],
        widget=UnfoldAdminSelectWidget,
    )
    model = forms.ModelChoiceField(
        ImageModel.that_make_images(),
        required=False,
        empty_label="The bundled flower model",
        widget=UnfoldAdminSelectWidget,
        help_text="The paper's study brings its own four models.",
    )
    items = forms.IntegerField(
        initial=presets.ITEMS,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="How many pictures of each model under each condition.",
    )
    name = forms.CharField(
        required=False,
        max_length=planning.LONGEST_NAME,
        widget=UnfoldAdminTextInputWidget,
        help_text="Of the experiment. Empty: named after the preset.",
    )

    plan: planning.Plan

    def clean_name(self) -> str:
        if Experiment.objects.filter(name=self.cleaned_data["name"]).exists():
            raise forms.ValidationError("There is an experiment of this name already: choose another.")
        return self.cleaned_data["name"]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if not self.errors:
            try:
                self.plan = presets.plan(
                    presets.find(cleaned["preset"]),
                    cleaned["model"],
                    items=cleaned["items"],
                    name=cleaned["name"],
                )
            except NotAllowed as error:
                self.add_error(error.parameter if error.parameter in self.fields else None, str(error))
        return cleaned


class ImportForm(forms.Form):
    """Asks for a zip of images made elsewhere."""

    name = forms.CharField(
        max_length=planning.LONGEST_NAME,
        widget=UnfoldAdminTextInputWidget,
        help_text="Of the experiment that the images become.",
    )
    file = forms.FileField(
        label="Zip of the images",
        widget=UnfoldAdminFileFieldWidget,
        help_text="Of a folder that manage.py generate made, or of one that holds a folder “baseline” and "
        "others beside it with equally named files, whose names become the conditions’. PNG, JPEG or WebP; "
        "8-bit RGB or grey; the pictures of a pair of one size.",
    )
    steps = forms.IntegerField(
        label="Denoising steps",
        required=False,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="Those that the baseline took; results name them. Empty for a folder of manage.py "
        "generate, which says it, or where it means nothing (1 is noted).",
    )

    def take(self, owner: User) -> Experiment | None:
        """The experiment made of the upload; None where the form now says what is wrong."""
        asked = self.cleaned_data
        try:
            return uploads.import_zip(asked["file"], asked["name"], steps=asked["steps"], owner=owner)
        except BadImages as error:
            self.add_error("file", str(error).splitlines())
        except NotAllowed as error:
            self.add_error(error.parameter if error.parameter in self.fields else None, str(error))
        except IntegrityError:  # a second click
            self.add_error("name", "There is an experiment of this name already: choose another.")
        return None


def subjects_of(model: ImageModel, text: str) -> Sequence[planning.Subject]:
    """What to draw, one a line of `text`, as the model takes it. Raises NotAllowed."""
    lines = list(dict.fromkeys(lines_of(text)))
    if model.takes == ImageModel.Takes.NOTHING:
        if lines:
            raise NotAllowed("subjects", lines[0], f"nothing: {model} is unconditional")
        return [planning.Subject()]
    if not lines:
        raise NotAllowed(
            "subjects", "(empty)", f"at least one line: {model} takes {model.get_takes_display()}"
        )
    if model.takes == ImageModel.Takes.PROMPTS:
        return [planning.Subject(prompt=line) for line in lines]
    labels = {int(number): name for number, name in model.labels.items()}
    if lines == ["all"]:
        return [planning.Subject(label=number) for number in sorted(labels)]
    return [planning.Subject(label=number) for number in dict.fromkeys(find_label(labels, x) for x in lines)]


def _control(control: dict[str, Any], own: dict[str, Any]) -> Recipe:
    """A control with as many of the treatment's own parameters as it takes."""
    takes = Recipe(**control).takes()
    return Recipe(**{name: value for name, value in own.items() if name in takes} | control)
