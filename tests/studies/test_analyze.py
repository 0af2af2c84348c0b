import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command, load_command_class

from tests.studies.statistics.test_bradley_terry import BASEBALL

ROOT = Path(__file__).resolve().parents[2]
HEADER = "participant,item,left,right,choice"
TEAMS = ["Bal", "Bos", "Cle", "Det", "Mil", "NY", "Tor"]


@pytest.fixture
def file(tmp_path):
    def write(*rows, header=HEADER, name="votes.csv"):
        path = tmp_path / name
        path.write_text("\n".join([header, *rows]) + "\n", "utf-8")
        return path

    return write


def rows(people=8, items=6, better="se2p"):
    for p in range(people):
        for i in range(items):
            left, right = ("se2p", "baseline") if (p + i) % 2 else ("baseline", "se2p")
            wins = better if (p * items + i) % 3 else ("baseline" if better == "se2p" else "se2p")
            yield f"p{p},i{i},{left},{right},{'left' if wins == left else 'right'}"


def analyzed(path, *options):
    out = io.StringIO()
    call_command("analyze", str(path), "--json", *options, stdout=out)
    return json.loads(out.getvalue())


def status(name, *arguments):
    """The exit status of the command as typed, without a process of its own."""
    with pytest.raises(SystemExit) as left:
        load_command_class("studies", name).run_from_argv(["manage.py", name, *map(str, arguments)])
    return left.value.code


def shell(*arguments, data=None):
    """The command as typed, where neither database nor Redis answer."""
    environment = {k: v for k, v in os.environ.items() if k not in ("DATABASE_URL", "REDIS_URL")}
    environment |= {"DATABASE_URL": "postgresql://127.0.0.1:1/none", "REDIS_URL": "redis://127.0.0.1:1/0"}
    command = [sys.executable, "manage.py", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env=environment, input=data, capture_output=True, check=False)


def test_it_works(file):
    found = analyzed(file(*rows()))

    assert found["blocks"]["all"]["n_votes"] == 48
    assert found["blocks"]["all"]["preference"]["se2p"]["share"] == pytest.approx(2 / 3)


def test_it_needs_neither_database_nor_redis_and_reads_a_pipe(file):
    done = shell("analyze", "-", "--json", data=file(*rows()).read_bytes())

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["blocks"]["all"]["n_votes"] == 48


def test_a_reader_that_leaves_early_is_no_failure(file):
    path = file(
        *(f"{b},{row}" for b in range(60) for row in rows(people=3, items=3)), header=f"block,{HEADER}"
    )
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "manage.py", "analyze", str(path), "--json"],
        cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, check=False,
    )  # fmt: skip
    os.close(writer)

    assert (done.returncode, done.stderr) == (0, b"")


def test_what_is_refused_is_one_line_and_status_one(file, capsys):
    assert status("analyze", file("ann,1,a,b,sideways")) == 1

    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    assert "line 2, column choice: 'sideways' is no choice" in shown.err


@pytest.mark.parametrize(
    "options",
    [["--margin", "0.7"], ["--estimand", "people"], ["--look", "6/5"], ["--planned-people", "0"], ["more"]],
)
def test_wrong_usage_is_status_two(file, options, capsys):
    assert status("analyze", file(*rows()), *options) == 2
    assert "usage:" in capsys.readouterr().err


def test_agrestis_baseball_from_a_file(file):
    lines = []
    for i, winner in enumerate(TEAMS):
        for j, loser in enumerate(TEAMS):
            for game in range(BASEBALL[i][j]):
                home = game % 2
                sides = f"{winner},{loser},left" if home else f"{loser},{winner},right"
                lines.append(f"p{game},{winner}-{loser}-{game},{sides}")
    found = analyzed(file(*lines))["blocks"]["all"]["bradley_terry"]

    assert found["names"] == TEAMS
    assert found["ability"][1:] == pytest.approx(
        [1.107698, 0.683853, 1.436408, 1.581356, 1.247618, 1.294485], abs=1e-6
    )
    assert found["se"][1:] == pytest.approx(
        [0.333878, 0.331877, 0.339569, 0.343256, 0.335861, 0.336669], abs=1e-6
    )


def test_tables_for_a_reader(file):
    out = io.StringIO()
    call_command("analyze", str(file(*rows())), stdout=out)
    shown = out.getvalue()

    assert "48 votes (0 ties) of 8 people on 6 items" in shown
    assert "0.667" in shown
    assert "┼" in shown  # ½, within the interval
    assert "items like these" in shown


def test_names_cannot_reach_the_terminal_or_its_markup(file, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")  # so that no name is broken over lines
    out = io.StringIO()
    evil = [row.replace("se2p", "[red]\x1b[2Jse2p") for row in rows()]
    call_command("analyze", str(file(*evil)), stdout=out)

    assert "\x1b" not in out.getvalue()
    assert r"[red]\x1b[2Jse2p" in out.getvalue()


def test_the_estimand_and_baseline_are_chosen(file):
    found = analyzed(file(*rows()), "--estimand", "items", "--baseline", "se2p")
    shown = found["blocks"]["all"]["preference"]["baseline"]

    assert shown["estimand"] == "items"
    assert shown["share"] == pytest.approx(1 / 3)


def test_rules_leave_people_out(file, tmp_path):
    rules = tmp_path / "rules.toml"
    rules.write_text("min_median_rt_ms = 300\n")
    timed = [f"{row},{100 if row.startswith('p3') else 900}" for row in rows()]
    found = analyzed(file(*timed, header=f"{HEADER},rt_ms"), "--exclude", str(rules))

    assert list(found["excluded_participants"]) == ["p3"]
    assert found["blocks"]["all"]["n_votes"] == 42


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("max_missing_images = 1", "max_missing_images can't be applied here"),
        ("min_luck = 1", "no rule 'min_luck'"),
        ("min_median_rt_ms = 300", "the votes have no rt_ms"),
        ("min_catch_share = 0.5", "the votes have none of the kind catch"),
    ],
)
def test_rules_that_cannot_be_applied_are_refused(file, tmp_path, rule, message):
    rules = tmp_path / "rules.toml"
    rules.write_text(rule)

    with pytest.raises(CommandError, match=message):
        analyzed(file(*rows()), "--exclude", str(rules))


def test_files_that_are_not_there_are_refused(tmp_path, file):
    with pytest.raises(CommandError, match=r"nothing\.csv can't be read: No such file"):
        analyzed(tmp_path / "nothing.csv")
    with pytest.raises(CommandError, match=r"rules\.toml can't be read"):
        analyzed(file(*rows()), "--exclude", str(tmp_path / "rules.toml"))


def test_plots_are_written_as_svg(file, tmp_path):
    three = [*rows(), *(row.replace("se2p", "ddim") for row in rows(items=4, better="ddim"))]
    call_command("analyze", str(file(*three)), "--plots", str(tmp_path / "plots"), stdout=io.StringIO())
    written = {path.name: path.read_text("utf-8") for path in (tmp_path / "plots").iterdir()}

    assert sorted(written) == ["jod.svg", "preference.svg", "ranking.svg"]
    assert all("<svg" in text and "</svg>" in text for text in written.values())
    assert "ddim" in written["preference.svg"]


def test_the_spreads_are_estimated_when_asked(file):
    found = analyzed(file(*rows()), "--variance")

    assert found["variance"]["all"]["se2p"]["item"]["low"] >= 0


def test_looks_are_reported_when_asked(file):
    found = analyzed(file(*rows()), "--look", "2/5", "--spending", "pocock", "--planned-people", "33")
    shown = found["blocks"]["all"]["preference"]["se2p"]

    assert shown["look"]["boundary"] == pytest.approx(2.427, abs=1e-3)
    assert "8 people" in shown["confidence_sequence"]["reason"]


def test_more_names_than_conditions_can_be_is_refused(file):
    many = [f"p{i},i{i},a{i}.png,b{i}.png,left" for i in range(600)]

    with pytest.raises(CommandError, match="left and right hold 1200 names"):
        analyzed(file(*many))


def test_the_state_of_people_is_used_where_asked(file):
    states = {"p0": "excluded", "p1": "expired"}
    path = file(*(f"{row},{states.get(row[:2], 'finished')}" for row in rows()), header=f"{HEADER},state")
    plain = analyzed(path)["blocks"]["all"]["preference"]["se2p"]
    found = analyzed(path, "--by-state")
    shown = found["blocks"]["all"]["preference"]["se2p"]

    assert (plain["n_participants"], plain["beside"]) == (8, {})
    assert found["excluded_participants"] == {"p0": ["excluded by the study"]}
    assert shown["n_participants"] == 7
    assert {name: beside["n_participants"] for name, beside in shown["beside"].items()} == {
        "without_exclusions": 8,
        "completers": 6,
    }


def test_the_state_that_is_not_there_is_said(file):
    with pytest.raises(CommandError, match="--by-state needs the column state"):
        analyzed(file(*rows()), "--by-state")


def test_the_trend_is_said_on_the_terminal(file):
    many = [f"{n},{n},{row}" for n, better in ((10, "se2p"), (20, "baseline")) for row in rows(better=better)]
    out = io.StringIO()
    call_command("analyze", str(file(*many, header=f"block,steps,{HEADER}")), stdout=out)

    assert "trend of se2p over 10, 20 steps: log odds" in out.getvalue()
