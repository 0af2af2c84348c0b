"""Forms of the admin: a study, its blocks and its questions. Each error stands at its field."""

from dataclasses import replace
from typing import Any

from django import forms
from django.db.models import Count
from django.utils.functional import cached_property
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget

from generation.models import Condition, Experiment, ImageModel, Pair
from studies import drafts, languages
from studies import form as person_form
from studies.drafts import WHOLE
from studies.models import Block, FormQuestion, Question, Study, Translation

_GONE = "The pairs of this comparison are gone"
TEXTS = {"consent": drafts.CONSENT, "instructions": drafts.INSTRUCTIONS, "debrief": drafts.DEBRIEF}
MOST_EXPERIMENTS = 200  # offered, the newest first


class Text(UnfoldAdminTextareaWidget):
    """Text of several lines, which browsers end by two characters: one that nobody touched stays as it is."""

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        value = super().value_from_datadict(data, files, name)
        return value.replace("\r\n", "\n") if isinstance(value, str) else value


class StudyForm(forms.ModelForm):
    class Meta:
        model = Study
        exclude: list[str] = []  # the admin's fieldsets say which
        widgets = {name: Text(attrs={"rows": 8}) for name in TEXTS}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, text in TEXTS.items():
            if name in self.fields:
                self.fields[name].initial = text
        if "consent" in self.fields:
            self.fields["consent"].help_text += " {trials} and {minutes} are filled in."

    def clean(self) -> dict[str, Any]:
        said = super().clean() or {}
        if said.get("entry") == Study.Entry.PARAMETER and not said.get("id_parameter"):
            self.add_error("id_parameter", "Name the parameter by which the address tells who comes.")
        if said.get("min_catch_share") is not None and not said.get("catches"):
            self.add_error(
                "min_catch_share", "This rule needs catch trials, and there are none: ask for some."
            )
        return said


Offers = list[tuple[str, list[tuple[str, str]]]]


def offers() -> Offers:
    """What can be compared: by experiment, each model, number of steps and treatment that has pairs."""
    newest = list(
        Experiment.that_stand_alone().order_by("-created").values_list("pk", "name")[:MOST_EXPERIMENTS]
    )
    counted = (
        Pair.objects.filter(experiment__in=[pk for pk, _ in newest], excluded="")
        .values_list(
            "experiment", "item__model", "item__model__name", "steps", "treatment__condition",
            "treatment__condition__name",
        )
        .annotate(Count("pk"))
        .order_by("item__model__name", "steps", "treatment__condition__position")
    )  # fmt: skip
    groups: dict[int, list[tuple[str, str]]] = {pk: [] for pk, _ in newest}
    for experiment, model, model_name, steps, treatment, name, pairs in counted:
        groups[experiment].append(
            (
                f"{experiment}:{model}:{steps}:{treatment}",
                f"{model_name}, {steps} steps, {name} ({pairs} pairs)",
            )
        )
    return [
        (name, cells if len(cells) < 2 else [(f"{pk}:{WHOLE}", f"All {len(cells)} comparisons"), *cells])
        for pk, name in newest
        if (cells := groups[pk])
    ]


class BlockForm(forms.ModelForm):
    """One comparison, or all of an experiment: then `more` holds the blocks beyond the first."""

    comparison = forms.ChoiceField(
        widget=UnfoldAdminSelectWidget,
        help_text="Only comparisons whose pairs are made are offered.",
        error_messages={"invalid_choice": "This experiment has no such pairs (any more): choose another."},
    )

    class Meta:
        model = Block
        fields = ["comparisons", "without_flagged"]
        widgets = {"comparisons": UnfoldAdminIntegerFieldWidget}

    def __init__(self, *args: Any, offered: Offers, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.more: list[Block] = []
        self.chosen = 0  # pairs picked by hand
        block = self.instance
        field = self.fields["comparison"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [("", "Choose what is compared"), *offered]
        if block.pk:
            field.initial = f"{block.experiment_id}:{block.model_id}:{block.steps}:{block.treatment_id}"
            if chosen := block.chosen.count():
                self.chosen = chosen
                field.help_text = (
                    f"Only the {chosen} pairs that were picked in the gallery; another choice takes all "
                    "of its own."
                )

    def clean(self) -> dict[str, Any]:
        said = super().clean() or {}
        if not (chosen := said.get("comparison")):
            return said
        experiment = Experiment.objects.get(pk=chosen.split(":")[0])
        made = drafts.cells(experiment, without_flagged=said.get("without_flagged", False))
        cells = drafts.chosen(experiment, made, chosen)
        if not cells:
            gone = "All pairs of this comparison are flagged" if said.get("without_flagged") else _GONE
            self.add_error("comparison", f"{gone}: choose another.")
            return said
        if self.chosen and "comparison" not in self.changed_data:
            self.instance.without_flagged = said.get("without_flagged", False)
            cells = [replace(cells[0], pairs=self.instance.pairs().count())]
        wanted = said.get("comparisons") or 0
        fewest = min(cells, key=lambda cell: cell.pairs)
        if wanted > fewest.pairs:
            self.add_error(
                "comparisons",
                f"{wanted} comparisons need as many pairs, and {fewest.model_name}, {fewest.steps} steps, "
                f"{fewest.treatment_name} has {fewest.pairs}: ask for at most {fewest.pairs}.",
            )
        first, *rest = cells
        _fill(self.instance, experiment, first)
        same = {"comparisons": wanted, "without_flagged": said.get("without_flagged", False)}
        self.more = [_fill(Block(**same), experiment, cell) for cell in rest]
        return said

    def save(self, commit: bool = True) -> Block:
        block = super().save(commit)
        if self.chosen and "comparison" in self.changed_data:
            block.chosen.clear()
        return block


def _fill(block: Block, experiment: Experiment, cell: drafts.Cell) -> Block:
    block.experiment = experiment
    block.model = ImageModel.objects.get(pk=cell.model)
    block.steps = cell.steps
    block.baseline = Condition.objects.get(pk=cell.baseline)
    block.treatment = Condition.objects.get(pk=cell.treatment)
    return block


class BlockFormSet(forms.BaseInlineFormSet):
    """At least one block, and none twice."""

    @cached_property
    def _offered(self) -> Offers:
        return offers()  # the same for every row: counting all pairs takes long

    def get_form_kwargs(self, index: int | None) -> dict[str, Any]:
        return super().get_form_kwargs(index) | {"offered": self._offered}

    def clean(self) -> None:
        super().clean()
        kept = [form for form in self.forms if form.cleaned_data and not form.cleaned_data.get("DELETE")]
        if not kept and not any(self.errors):
            raise forms.ValidationError("Choose at least one comparison.")
        seen: set[tuple[int, int, int, int]] = set()
        for form in kept:
            for block in (form.instance, *getattr(form, "more", [])):
                key = (block.experiment_id, block.model_id, block.steps, block.treatment_id)
                if key in seen and block.experiment_id:
                    form.add_error("comparison", f"{block} is chosen twice.")
                seen.add(key)


class QuestionForm(forms.ModelForm):
    class Meta:
        model = Question
        fields = ["text"]

    def has_changed(self) -> bool:
        # A new question is kept also where its text is the one that was proposed.
        return self.instance.pk is None or super().has_changed()


class FormQuestionForm(forms.ModelForm):
    class Meta:
        model = FormQuestion
        fields = ["text", "kind", "options", "screens_out", "least", "most", "required"]
        widgets = {name: Text(attrs={"rows": 4}) for name in ("options", "screens_out")}

    def clean(self) -> dict[str, Any]:
        said = super().clean() or {}
        if not self.errors:
            asked = FormQuestion(**{name: said[name] for name in self.Meta.fields}).asked()
            for field, sentence in person_form.faults(asked):
                self.add_error(field, sentence)
        return said


class TranslationForm(forms.ModelForm):
    """Texts in another language; they begin as the study's own, to be written over."""

    class Meta:
        model = Translation
        fields = ["language", "title", "consent", "instructions", "debrief", "questions", "about"]
        widgets = {
            name: Text(attrs={"rows": 6})
            for name in ("consent", "instructions", "debrief", "questions", "about")
        }

    def __init__(self, *args: Any, study: Study, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if study.pk and not self.instance.pk:
            for name in ("title", "consent", "instructions", "debrief"):
                self.fields[name].initial = getattr(study, name)
            self.fields["questions"].initial = "\n".join(q.text for q in study.questions.all())
            asked = [question.asked() for question in study.form_questions.all()]
            self.fields["about"].initial = languages.about_text(asked)


class TranslationFormSet(forms.BaseInlineFormSet):
    """Each further language once, and none that is the study's own.

    Whether the number of questions fits is said when the study is published: these may change after.
    """

    def get_form_kwargs(self, index: int | None) -> dict[str, Any]:
        return super().get_form_kwargs(index) | {"study": self.instance}

    def clean(self) -> None:
        super().clean()
        for row in self.forms:
            said = row.cleaned_data if hasattr(row, "cleaned_data") else {}
            if said and not said.get("DELETE") and said.get("language") == self.instance.language:
                row.add_error("language", "These are the study's own texts already: choose another language.")


class UnblindForm(forms.Form):
    why = forms.CharField(
        max_length=200,
        label="Why do you look now?",
        help_text="It is kept in the audit log with your name and the time.",
    )
