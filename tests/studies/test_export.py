"""Tables of a study as files: their rows and types, one moment for all rows, and text that nobody runs."""

import csv
import hashlib
import io
import json
import re
import threading

import pandas
import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from psycopg import sql
from pyarrow import parquet as pq

from generation.models import Image, Item, Pair, Score
from studies import columns, export, pages, protocol, tables, wide
from studies.models import Participant, Study
from studies.statistics import table
from tests.studies.factories import Person, draft, experiment, published

pytestmark = pytest.mark.django_db
TABLES = list(columns.TABLES)


@pytest.fixture
def study() -> Study:
    """Two people with catch and practice trials, one who left, and scores of every picture."""
    study = published(
        experiment=experiment(6, labels=3),
        people=3,
        comparisons=3,
        practice=1,
        catches=1,
        repeats=1,
        blind=False,
    )
    for choice in ("left", "tie"):
        Person(study).start().finish(choice)
    Person(study).start().vote()
    for pair in Pair.objects.all():
        for image, value in ((pair.baseline, 0.25), (pair.treatment, 1 / 3)):
            Score.objects.create(image=image, metric="sharpness", version="1", value=value)
        Score.objects.create(pair=pair, metric="ssim", version="1", value=0.9)
    return study


def content(study: Study, name: str, form: str = "csv", **more) -> bytes:
    return b"".join(export.stream(study, name, form, **more))


def rows(study: Study, name: str, form: str = "csv", **more) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content(study, name, form, **more).decode(), newline="")))


@pytest.mark.parametrize(
    ("name", "expected"), [("votes", 13), ("trials", 18), ("participants", 3), ("pairs", 6), ("scores", 18)]
)
def test_it_works(study, name, expected):
    tally = tables.Tally()

    found = rows(study, name, tally=tally)

    assert len(found) == tally.rows == expected
    assert list(found[0]) == [column.name for column in tables.table_of(study, name).columns]


@pytest.mark.parametrize("name", TABLES)
def test_a_parquet_file_has_the_same_rows_with_types_of_their_own(study, name):
    printed = rows(study, name)

    read = pq.read_table(io.BytesIO(content(study, name, "parquet")))

    types = {"text": "string", "word": "string", "integer": "int64", "number": "double",
             "time": "timestamp[us, tz=UTC]"}  # fmt: skip
    for column in tables.table_of(study, name).columns:
        field = read.schema.field(column.name)
        assert str(field.type) == types[column.kind]
        assert field.metadata[b"meaning"].decode() == column.meaning
        assert [as_printed(value) for value in read[column.name].to_pylist()] == [
            row[column.name] for row in printed
        ]


def as_printed(value) -> str:
    if value is None:
        return ""
    if hasattr(value, "isoformat"):
        return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


def test_pandas_reads_numbers_texts_and_times_of_the_csv_as_such(study):
    read = pandas.read_csv(io.BytesIO(content(study, "votes")), parse_dates=["cast_at"])

    assert str(read["cast_at"].dt.tz) == "UTC"
    assert read["item"].dtype.kind == read["steps"].dtype.kind == "i"
    assert read["cast_at"].notna().all()
    assert set(read["choice"]) == {"left", "tie"}


def test_rows_stand_in_the_order_of_people_and_of_their_votes(study, monkeypatch):
    whole = content(study, "votes")

    monkeypatch.setattr(tables, "ROWS", 1)  # each person is a part

    assert content(study, "votes") == whole
    people = list(Participant.objects.order_by("pk").values_list("pseudonym", flat=True))
    found = [(people.index(row["participant"]), int(row["sequence"])) for row in rows(study, "votes")]
    assert found == sorted(found)


def test_the_votes_begin_with_the_columns_that_analyze_takes(study):
    found = content(study, "votes")

    assert found.startswith(b"participant,item,left,right,choice,block,question,cluster,kind,mode,rt_ms,")
    assert len(table.read(found)) == 13


TEXTS = (
    "=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "'=1+1", "''-", "'", "'twas", "", "plain", "x=1", " =1",
    'a "quoted", one', "two\nlines", "ünïcode ✓", "=", "-",
)  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_text_that_a_spreadsheet_would_run_gets_a_quote_that_can_be_taken_off_again(text):
    with connection.cursor() as cursor:
        query = sql.SQL("SELECT ") + sql.SQL(columns.HARMLESS).format(value=sql.Literal(text))
        cursor.execute(query)
        (printed,) = cursor.fetchone()

    assert printed == columns.harmless(text)
    assert not printed.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert re.sub(r"^'(?='*[=+@\t\r-])", "", printed) == text


def test_every_text_of_a_study_is_harmless_and_no_number_is_harmed(study):
    Item.objects.filter(label=None).update(prompt="=HYPERLINK()")
    for model, field in ((Item, "prompt"),):
        model.objects.update(**{field: "@cmd", "label": None})
    study.blocks.get().experiment.conditions.filter(name="se2p").update(name="-naive")
    Score.objects.update(value=-1.5)
    Participant.objects.update(why="+1")

    found = {name: rows(study, name) for name in TABLES}

    assert {row["prompt"] for row in found["votes"]} == {"'@cmd"}
    assert {row["treatment"] for row in found["pairs"]} == {"'-naive"}
    assert {row["value"] for row in found["scores"]} == {"-1.5"}
    assert {row["why"] for row in found["participants"]} == {"'+1"}
    for name, table_rows in found.items():
        kinds = {column.name: column.kind for column in tables.table_of(study, name).columns}
        for row in table_rows:
            texts = [cell for column, cell in row.items() if kinds[column] in ("text", "word")]
            assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in texts)


def test_negative_numbers_of_people_stay_numbers():
    study = draft(2, blind=False)
    asked = study.form_questions.create(text="Degrees?", kind="number")
    protocol.publish(study)
    Person(study).join().submit(**{f"answer-{asked.pk}": "-3.50"})

    (row,) = rows(study, "participants")
    read = pq.read_table(io.BytesIO(content(study, "participants", "parquet")))

    assert float(row["answer_1"]) == read["answer_1"][0].as_py() == -3.5


def test_trials_tell_what_was_shown_and_not_what_was_chosen(study):
    found = rows(study, "trials")

    assert "choice" not in found[0]
    assert sum(int(row["answered"]) for row in found) == 13
    assert {row["left_shows"] for row in found} <= {
        "baseline", "treatment", "spoilt-baseline", "spoilt-treatment"
    }  # fmt: skip


def test_pairs_are_those_of_the_protocol_with_the_hashes_of_their_pictures(study):
    late = Item.objects.create(experiment=study.blocks.get().experiment, model=Item.objects.first().model,
                               position=99, seed=99)  # fmt: skip
    first = Pair.objects.first()
    one, other = (
        Image.objects.create(chunk=image.chunk, item=late, condition=image.condition, steps=20,
                             sha256="0" * 64, width=32, height=32)
        for image in (first.baseline, first.treatment)
    )  # fmt: skip
    Pair.objects.create(experiment=first.experiment, item=late, steps=20, baseline=one, treatment=other)

    found = rows(study, "pairs")

    assert [row["baseline_sha256"] for row in found] == [
        pair.baseline.sha256 for pair in Pair.objects.exclude(item=late).order_by("pk")
    ]


def test_a_draft_has_the_pairs_that_it_would_show():
    assert len(rows(draft(3), "pairs")) == 3


def test_the_wide_votes_have_a_row_for_each_person_and_a_column_for_each_pair(study):
    found = rows(study, "votes", "csv-wide")

    expected = {}
    for row in rows(study, "votes"):
        if row["kind"] == "main":
            value = "0.5" if row["choice"] == "tie" else str(float(row[row["choice"]] == "se2p"))
            expected[row["participant"], f"pair_{row['pair']}"] = float(value)
    given = {
        (row["participant"], name): float(cell)
        for row in found
        for name, cell in row.items()
        if name.startswith("pair_") and cell
    }
    assert given == expected
    assert [row["state"] for row in found] == [
        "finished",
        "finished",
    ]  # the third has not got beyond practice


def test_wide_votes_of_several_questions_have_columns_for_each():
    study = published(2, people=1, blind=False, questions=("Better?", "Sharper?"))
    Person(study).start().finish("tie")

    (row,) = rows(study, "votes", "csv-wide")

    pairs = [pair.pk for pair in Pair.objects.order_by("pk")]
    assert [name for name in row if "pair" in name] == [
        f"question_{q}_pair_{pair}" for q in (1, 2) for pair in pairs
    ]


def test_the_wide_scores_have_a_row_for_each_pair_and_a_column_for_each_picture(study):
    Score.objects.create(image=Image.objects.first(), metric="sharpness", version="2", value=7.0)

    found = rows(study, "scores", "csv-wide")

    assert len(found) == 6
    assert [name for name in found[0] if "sharpness" in name or "ssim" in name] == [
        "sharpness_1_baseline", "sharpness_1_treatment", "sharpness_2_baseline", "ssim",
    ]  # fmt: skip
    assert float(found[0]["sharpness_1_treatment"]) == 1 / 3


def test_a_wide_table_that_no_spreadsheet_opens_is_refused(study, monkeypatch):
    monkeypatch.setattr(wide, "MOST_COLUMNS", 5)

    with pytest.raises(export.NotExported, match="9 columns, and a spreadsheet takes 5: take the long form"):
        export.stream(study, "votes", "csv-wide")


def test_the_protocol_is_the_text_that_its_hash_is_of(study):
    said = json.loads(content(study, "protocol", "json"))

    (version,) = said["versions"]
    text = json.dumps(version["document"], sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    assert hashlib.sha256(text.encode()).hexdigest() == version["sha256"] == study.protocols.get().sha256


def test_the_codebook_tells_every_column(study):
    found = rows(study, "codebook")

    assert [(row["table"], row["column"]) for row in found] == [
        (name, column.name) for name in TABLES for column in tables.table_of(study, name).columns
    ]
    assert {row["type"] for row in found} == {"text", "integer", "number", "time"}


@pytest.mark.parametrize("form", ["csv", "csv-wide", "parquet"])
def test_while_preferences_are_hidden_only_the_votes_stay_in(form):
    study = published(3, people=1)
    Person(study).start().finish()

    with pytest.raises(export.Blind):
        export.stream(study, "votes", form)
    for name in TABLES[1:]:
        assert len(rows(study, name)) == {"scores": 0, "participants": 1}.get(name, 3)
        assert not {"choice", "chosen", "link"} & {c.name for c in columns.TABLES[name].columns}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", ["votes", "trials", "participants"])
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_rows_written_during_an_export_do_not_change_it(monkeypatch, name, form):
    study = published(4, people=3, blind=False)
    late = [Person(study).start() for _ in range(2)]
    late[0].vote()
    pages.texts(study.protocols.get())
    monkeypatch.setattr(tables, "ROWS", 1)
    monkeypatch.setattr(tables, "BLOCK", 1)
    before = content(study, name, form)

    blocks = export.stream(study, name, form)
    begun = [next(blocks), next(blocks)]

    def meanwhile() -> None:
        late[1].vote()
        Person(study).start().finish()
        connection.close()

    other = threading.Thread(target=meanwhile)
    other.start()
    other.join()
    assert b"".join([*begun, *blocks]) == before
    assert content(study, name, form) != before


def test_people_who_withdrew_are_in_no_table_but_as_a_name(study):
    from studies import enrolment

    person = Participant.objects.order_by("pk").first()
    enrolment.withdraw(person)

    assert len(rows(study, "votes")) == 7
    assert not any(
        int(row["answered"]) for row in rows(study, "trials") if row["participant"] == person.pseudonym
    )
    assert [row["state"] for row in rows(study, "participants")] == ["withdrawn", "finished", "active"]


class TestCommand:
    def test_it_works(self, study, capfdbinary):
        call_command("export", study.slug, "votes")

        assert capfdbinary.readouterr().out == content(study, "votes")
        entry = study.audit.get(action="exported")
        assert (entry.actor, entry.detail) == (None, {"table": "votes", "format": "csv"})

    @pytest.mark.parametrize(
        ("name", "form"), [("votes", "csv-wide"), ("pairs", "parquet"), ("protocol", "json")]
    )
    def test_a_file_holds_what_was_asked_for(self, study, tmp_path, name, form):
        call_command("export", study.slug, name, format=form, out=tmp_path / "file")

        assert (tmp_path / "file").read_bytes() == content(study, name, form)
        assert [path.name for path in tmp_path.iterdir()] == ["file"]

    def test_a_file_that_was_cut_off_does_not_have_its_name(self, study, tmp_path, monkeypatch):
        def killed(self, *args, **more):
            raise KeyboardInterrupt

        monkeypatch.setattr(columns.Table, "query", killed)
        (tmp_path / "votes.csv").write_text("the file of yesterday")

        with pytest.raises(KeyboardInterrupt):
            call_command("export", study.slug, "votes", out=tmp_path / "votes.csv")

        assert (tmp_path / "votes.csv").read_text() == "the file of yesterday"
        assert (tmp_path / "votes.csv.part").exists()

    @pytest.mark.parametrize(
        ("slug", "name", "more", "words"),
        [
            ("none", "votes", {}, "There is no study at the address 'none'."),
            (None, "pairs", {"format": "json"}, "pairs can't be had as json; choose csv or parquet."),
            (None, "votes", {"mode": "live,dead"}, "There is no mode 'dead'; the modes are live, pilot"),
            (None, "votes", {}, "Preferences are hidden until the study is closed."),
            (None, "pairs", {"out": "/none/file"}, "/none/file can't be written: No such file or directory"),
        ],
    )
    def test_what_is_refused_says_why(self, slug, name, more, words):
        from pathlib import Path

        study = published(2)
        if "out" in more:
            more = {"out": Path(more["out"])}

        with pytest.raises(CommandError, match=re.escape(words)):
            call_command("export", slug or study.slug, name, **more)

    def test_a_draft_has_no_protocol_yet(self):
        with pytest.raises(CommandError, match="it has a protocol once it is published"):
            call_command("export", draft(2).slug, "protocol")
