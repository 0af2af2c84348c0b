"""An experiment's report: a file that stands alone, says what was found, and names what repeats it."""

import html
import re
from dataclasses import replace
from html.parser import HTMLParser
from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from generation import presets, tasks
from generation.models import Condition, Experiment, Pair, Score
from studies import experiments, experiments_figures, experiments_report, report
from studies.figures import Figure
from studies.wording import many
from tests.studies.factories import experiment
from tests.studies.test_experiments import scored

pytestmark = pytest.mark.django_db


def written(made, tmp_path, *options):
    out = StringIO()
    path = tmp_path / "report.html"
    call_command("report", made.name, "--out", str(path), *options, stdout=out)
    return path.read_text()


def words(page):
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def test_it_works(tmp_path):
    made = scored(steps=(10, 20), treatments=("se2p", "naive"))
    page = written(made, tmp_path)

    shown = words(page)
    for heading in ("What was compared", "What was found", "Differences to the baseline", "Drift", "Flags"):
        assert f"<h2>{heading}</h2>" in page
    assert "naive's pictures have higher sharpness than the baseline's at N = 20: +" in shown
    assert "12 items in 3 classes" in shown
    assert "<svg" in page


def test_it_stands_alone(tmp_path):
    """No address, no script, no file beside it."""
    page = written(scored(steps=(10, 20)), tmp_path)

    assert "http" not in page
    assert "<script" not in page
    assert not re.findall(r'(?:src|href)="(?!#)[^"]*"', page)


def test_it_is_well_formed_and_no_id_stands_twice(tmp_path):
    page = written(scored(steps=(10, 20), treatments=("se2p", "naive")), tmp_path)

    class Ids(HTMLParser):
        seen: list[str] = []

        def handle_starttag(self, tag, attrs):
            self.seen += [value for name, value in attrs if name == "id"]

    Ids().feed(page)
    assert len(Ids.seen) == len(set(Ids.seen)) > 10
    references = set(re.findall(r'href="#([^"]+)"', page)) | set(re.findall(r"url\(#([^)]+)\)", page))
    assert references <= set(Ids.seen)


def test_the_same_rows_give_the_same_file(tmp_path):
    made = scored()

    assert written(made, tmp_path) == written(made, tmp_path)


def test_markdown_says_the_same_numbers(capsys):
    made = scored()
    call_command("report", str(made.pk), "--markdown")
    text = capsys.readouterr().out

    assert text.startswith("# Automatic scores of ")
    found = experiments.compute(made)["analysis"]["comparisons"][0]["metrics"]["sharpness"]["difference"]
    assert f"{found['mean']:+.3f}"[:5] in text
    assert "| metric | treatment |" in text
    assert "<svg" not in text


def test_what_was_left_out_is_said(tmp_path):
    made = scored()
    Pair.objects.filter(pk=made.pairs.first().pk).update(excluded="a hand with six fingers")

    assert "12 pairs made, 1 pair left out" in words(written(made, tmp_path)).replace("\u2009", " ")


def test_names_are_shown_as_text(tmp_path):
    made = scored()
    Experiment.objects.filter(pk=made.pk).update(name="<script>alert(1)</script> | $x$")
    made.refresh_from_db()
    page = written(made, tmp_path)

    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_a_table_of_markdown_keeps_its_columns():
    table = report.Table("names", ("a", "b"), [("x|y", "z")])
    text = report.as_markdown("t", [report.Section("s", tables=[table])])

    assert "| x\\|y | z |" in text


def test_markdown_has_no_heading_above_nothing():
    plot = Figure("f", "a plot", "", ("x",), ((1,),), "<svg/>")
    sections = [
        report.Section("only a plot", figures=[plot]),
        report.Section("parts", parts=[report.Section("a part of plots", figures=[plot])]),
        report.Section("said", ["Something."], parts=[report.Section("more", ["Else."])]),
    ]

    assert report.as_markdown("t", sections) == "# t\n\n## said\n\nSomething.\n\n### more\n\nElse.\n"


@pytest.mark.parametrize(
    ("name", "why"),
    [("none such", "No experiment has the name or number 'none such'"), ("10000000", "No exp")],
)
def test_an_unknown_experiment_is_refused(name, why):
    with pytest.raises(CommandError, match=why):
        call_command("report", name)


def test_an_experiment_without_scores_is_refused():
    made = experiment(2)
    with pytest.raises(CommandError, match="nothing is scored yet"):
        call_command("report", made.name)


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    made = scored()
    with pytest.raises(CommandError, match="no-such-folder"):
        call_command("report", made.name, "--out", str(tmp_path / "no-such-folder" / "r.html"))


@pytest.fixture
def started(transactional_db, monkeypatch):  # the lease is renewed on a connection of its own
    """`manage.py experiment` with the bundled model, and the workers' tasks run here."""
    monkeypatch.setattr(tasks, "_nudge", lambda *args: None)

    def start(preset, steps, items):
        monkeypatch.setattr(presets, "PRESETS", {preset: replace(presets.find(preset), steps=steps)})
        call_command("experiment", preset, items=items, name=f"{preset}, few", stdout=StringIO())
        made = Experiment.objects.get(name=f"{preset}, few")
        for task in (tasks.make_images, tasks.score_images):
            for _ in range(made.chunks.count()):
                task()
        assert not made.chunks.exclude(stage="done").exists(), list(made.chunks.values("stage", "error"))
        return made

    return start


def test_from_a_preset_to_the_report_on_the_command_line(started, tmp_path):
    made = started("noise", (5,), items=5)
    page = written(made, tmp_path)

    assert Score.objects.filter(metric="drift", pair__experiment=made).count() == 10
    shown = words(page).replace("\u2009", " ")
    assert "10 pairs of pictures, 0 left out" in shown
    assert "se2p and se2p-shared against the baseline at N = 5" in shown
    assert (
        "python manage.py experiment noise --model starter/ddpm-flowers-32 --items 5 --name 'noise, few'"
        in shown
    )
    assert "torch " in shown


@pytest.mark.parametrize(
    ("preset", "steps", "shows"),
    [
        ("controls", (5,), "At equal evaluations"),
        ("ablation", (5,), "naive-gamma0.5"),
        ("rho-steps", (3, 6), "over ρ and N"),
        ("offset", (5,), "se2p-offset50"),
    ],
)
def test_each_preset_of_the_findings_goes_from_the_command_line_to_its_report(
    preset, steps, shows, started, tmp_path
):
    made = started(preset, steps, items=2)

    shown = words(written(made, tmp_path))
    assert shows in shown
    for condition in made.conditions.values_list("name", flat=True):
        assert condition in shown


def test_sections_of_an_unfinished_experiment_say_so():
    found = experiments.compute(scored())
    found["experiment"] |= {"done": False, "scored": False}

    section = experiments_report.sections(found, [])[0]
    assert "not finished" in section.paragraphs[0]


def test_an_unfinished_experiment_has_no_share_of_flagged_pairs():
    made = scored()
    made.settled_at = None
    made.save()

    Pair.objects.filter(experiment=made).update(flags=["blurred"])  # before more metrics were asked for
    (said,) = findings(made)["Flags"].points
    assert said == "No pair could be flagged: its pairs are not flagged yet."
    (first, *_) = experiments_report.sections(experiments.compute(made), [])
    assert "pairs are just being flagged" in first.paragraphs[0]
    assert "still to be made" not in str(first.paragraphs)


def findings(made):
    """The parts of “What was found” by their headings."""
    _, found, *_ = experiments_report.sections(experiments.compute(made), [])
    return {part.title: part for part in found.parts}


def test_a_sweep_says_first_over_what_its_correction_goes():
    made = scored(treatments=("one", "two"))
    for name, rho in (("one", 1.0), ("two", 2.0)):
        recipe = {"sampler": "se2p", "rho": rho}
        Condition.objects.filter(experiment=made, name=name).update(recipe=recipe)

    (said,) = findings(made)["Over the noise scale ρ"].paragraphs
    assert "over the values of ρ here, not over the metrics" in said


def test_of_many_comparisons_both_ends_of_the_flags_are_named():
    made = scored(24, treatments=tuple(f"t{i}" for i in range(9)), metrics=("sharpness",))
    for name in ("t3", "t5"):
        one = made.pairs.filter(treatment__condition__name=name).first()
        Pair.objects.filter(pk=one.pk).update(flags=["blurred"])

    first, second, last = findings(made)["Flags"].points
    assert first.startswith("Most flagged (one of 2 alike): t3 at N = 20: 1 of 24 pairs flagged")
    assert second.startswith("Most flagged (one of 2 alike): t5 at N = 20")
    assert last.startswith("Least flagged: 7 comparisons")


def flags_of(made):
    """What is found of flags, in words, and the section that tells it with its table."""
    found = experiments.compute(made)
    said = next(part for part in experiments_report.sections(found, [])[1].parts if part.title == "Flags")
    return said, next(one for one in experiments_report.sections(found, []) if one.title == "Flags")


def test_without_thresholds_no_share_of_flagged_pairs_is_named():
    said, section = flags_of(scored(5))

    why = (
        "No pair could be flagged: there is no threshold, as fewer than 20 of the baseline's pictures are "
        "scored and none is set by hand."
    )
    assert said.points == [why]
    assert why in section.paragraphs[0]
    assert "own pictures" not in section.paragraphs[0]
    (table,) = section.tables
    assert table.rows[0][2] == "–"
    assert "fewer than 20 of the baseline's pictures" in table.note


def test_with_thresholds_by_hand_shares_are_named_and_the_other_flags_explained():
    made = scored(5)
    Experiment.objects.filter(pk=made.pk).update(thresholds={"sharpness below": -9.0})
    said, section = flags_of(made)

    assert "set by hand" in said.paragraphs[0]
    assert said.points[0].startswith("se2p at N = 20: 0 of 5 pairs flagged, 0.0")
    assert section.paragraphs[0].endswith("Set by hand instead: sharpness below -9.")
    assert "No pair could have the flag “drifted”: there is no threshold" in section.tables[0].note
    assert "“blurred”" not in section.tables[0].note


def test_a_flag_without_a_threshold_has_no_share_at_these_steps_only():
    made = scored(24, steps=(10, 20))
    Score.objects.filter(metric="sharpness", image__steps=10, image__item__position__gt=3).delete()
    one = made.pairs.filter(steps=20).first()
    Pair.objects.filter(pk=one.pk).update(flags=["blurred"])
    _, section = flags_of(made)

    (table,) = section.tables
    at = table.head.index("blurred")
    assert [row[at][:3] for row in table.rows] == ["–", "4.2"]
    assert table.note.startswith("–: no pair could have the flag: there is no threshold")


def test_with_thresholds_the_shares_stand_as_before():
    said, section = flags_of(scored(24))

    assert said.points[0].startswith("se2p at N = 20: 0 of 24 pairs flagged, 0.0")
    assert "own pictures" in section.paragraphs[0]


def other_first(made):
    """The same experiment with SE2P in the baseline's place and the baseline as another condition."""
    names = list(made.conditions.order_by("position").values_list("pk", "name"))
    for place, (pk, _) in enumerate(names):
        Condition.objects.filter(pk=pk).update(name=f"{place}")
    for (pk, _), name in zip(names, ("se2p", "baseline", "ddpm-2n"), strict=False):
        Condition.objects.filter(pk=pk).update(name=name)
    return made


@pytest.mark.parametrize(
    ("steps", "treatments"),
    [((20,), ("a",)), ((10, 20), ("a",)), ((20,), ("a", "b")), ((10, 20), ("a", "b"))],
)
def test_a_first_condition_that_is_not_the_baseline_is_called_by_its_name(steps, treatments, tmp_path):
    made = other_first(scored(24, steps=steps, treatments=treatments))
    page = written(made, tmp_path)
    shown = words(page)

    assert "The baseline" in shown  # which is one of those that are compared with it
    for said in (
        "against se2p at N", "The conditions, se2p first", "Differences are condition - se2p",
        "Differences to se2p", "Each condition against se2p", "The baseline's pictures are like se2p's",
        "Seeds of se2p that share", "to se2p (95", "se2p, other seeds", "Drift from se2p", "are se2p's own",
        "an image of se2p",
    ):  # fmt: skip
        assert said in shown, said
    for wrong in ("treatment", "to the baseline", "against the baseline", "- baseline", "of the baseline"):
        assert wrong not in shown, wrong


def test_the_numbers_of_figures_name_the_first_condition():
    found = experiments.compute(other_first(scored(24)))

    head = experiments_figures.planned(found)[0].figure.head
    assert head[2:6] == ("condition", "metric", "se2p", "condition mean")


@pytest.mark.parametrize(
    ("span", "says"),
    [
        ("0, 1", "0 to 1"),
        ("0, .5", "0 to 0.5"),
        ("~0, ~100", "about 0 to 100"),
        ("~-1, ~0.1", "about -1 to 0.1"),
        ("0, ~", "0 and up"),
        ("~, 2", "up to 2"),
        ("", ""),
    ],
)
def test_ranges_of_metrics_are_said_in_words(span, says):
    assert experiments_report._range(span) == says


@pytest.mark.parametrize(("labels", "seeds"), [(3, 4), (12, 1)])
def test_seeds_that_classes_share_are_reported(tmp_path, labels, seeds):
    made = scored(pairs=12, labels=labels, steps=(10, 20), treatments=("se2p", "naive"))
    for item in made.items.order_by("position"):
        made.items.filter(pk=item.pk).update(seed=item.position // labels)

    page = words(written(made, tmp_path))
    means = [
        compared["metrics"]["sharpness"]["difference"]
        for compared in experiments.compute(made)["analysis"]["comparisons"]
    ]

    assert f"Classes share seeds ({many(seeds, 'seed')} in all), and so their noise" in page
    assert f"clustered by class ({labels} classes) and by seed ({many(seeds, 'seed')})" in page
    assert all((mean["low"] is None) == (seeds == 1) for mean in means)
    assert ("only one seed, whose noise all values share" in page) == (seeds == 1)
