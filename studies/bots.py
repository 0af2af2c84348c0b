"""Simulated participants for pilots, load and tests.

They see what a browser sees and follow the forms; from the database they know what no participant can: on
which side the treatment stands. The chance of choosing it is logistic with a shift per person and per item.
"""

import html
import http.client
import math
import random
import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from urllib.parse import urlencode, urlsplit

from django.db import connection

from studies.form import staying
from studies.models import FormQuestion, Invitation, Study, Trial
from studies.recruitment import link_address

FORM = re.compile(r"<form\b[^>]*?action=\"([^\"]+)\".*?</form>", re.S)
HIDDEN = re.compile(r"<input type=\"hidden\" name=\"([^\"]+)\"(?: value=\"([^\"]*)\")?")
PICTURE = re.compile(r"<img src=\"([^\"]+/picture/[^\"]+)\"")
ANSWER = re.compile(r"name=\"answer-(\d+)\"")
CODE = re.compile(r"id=\"code\"[^>]*>([^<]+)<")
MOST_PAGES = 5000


class Unreachable(RuntimeError):
    """No site answers at the address."""


@dataclass(frozen=True)
class Habits:
    """How the simulated people behave; SDs and the bias are on the logit scale."""

    preference: float = 0.65
    sd_participant: float = 0.5
    sd_item: float = 0.8
    side_bias: float = 0.1
    ties: float = 0.1
    dropout: float = 0.0
    double_submit: bool = False


@dataclass
class Report:
    """What the bots did. seconds: of each request, by kind."""

    ends: Counter[str] = field(default_factory=Counter)
    votes: int = 0
    seconds: dict[str, list[float]] = field(default_factory=lambda: {"page": [], "picture": [], "vote": []})
    errors: list[str] = field(default_factory=list)

    def add(self, other: "Report") -> None:
        self.ends += other.ends
        self.votes += other.votes
        self.errors += other.errors
        for kind, times in other.seconds.items():
            self.seconds[kind] += times

    def sentence(self) -> str:
        ends = ", ".join(f"{count} {end}" for end, count in sorted(self.ends.items()))
        bots = sum(self.ends.values())
        return f"{bots} bot{'s'[: bots != 1]}: {ends}; {self.votes} vote{'s'[: self.votes != 1]}"


def run(
    study: Study, links: list[Invitation], url: str, habits: Habits, *, workers: int = 8, seed: int = 0
) -> Report:
    """Let a bot follow each link; returns what happened. Raises Unreachable."""
    items = _item_shifts(study, habits, random.Random(f"{seed}/items"))
    _reach(url)

    def one(numbered: tuple[int, Invitation]) -> Report:
        number, link = numbered
        try:
            bot = Bot(url, habits, items, random.Random(f"{seed}/{number}"))
            return bot.take_part(link_address(study, link))
        finally:
            connection.close()

    total = Report()
    with ThreadPoolExecutor(workers) as pool:
        for report in pool.map(one, enumerate(links)):
            total.add(report)
    return total


def _item_shifts(study: Study, habits: Habits, rng: random.Random) -> dict[int, float]:
    pairs = sorted(
        {pair for block in study.blocks.all() for pair in block.pairs().values_list("pk", flat=True)}
    )
    return {pair: rng.gauss(0, habits.sd_item) for pair in sorted(pairs)}


def _reach(url: str) -> None:
    try:
        Browser(url).request("GET", "/s/no-such-study/")
    except OSError as error:
        raise Unreachable(
            f"No site answers at {url}: {error}. Start it, or give its address with --url."
        ) from error


class Browser:
    """A kept connection with cookies, as one person's browser has."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self.connection = kind(parts.netloc, timeout=60)
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self.cookies: SimpleCookie = SimpleCookie()

    def request(self, method: str, path: str, body: dict[str, str] | None = None) -> tuple[int, str, bytes]:
        """(status, where it leads, body) of one request, without following."""
        headers = {"Cookie": "; ".join(f"{name}={morsel.value}" for name, morsel in self.cookies.items())}
        if body is not None:
            headers |= {"Content-Type": "application/x-www-form-urlencoded", "Referer": self.origin + path}
        self.connection.request(method, path, urlencode(body) if body is not None else None, headers)
        answer = self.connection.getresponse()
        content = answer.read()
        for name, value in answer.getheaders():
            if name.lower() == "set-cookie":
                self.cookies.load(value)
        return answer.status, answer.getheader("Location", ""), content


class Bot:
    """One simulated person."""

    def __init__(self, url: str, habits: Habits, items: dict[int, float], rng: random.Random) -> None:
        self.browser = Browser(url)
        self.second = Browser(url)  # another connection of the same browser
        self.second.cookies = self.browser.cookies
        self.habits = habits
        self.items = items
        self.rng = rng
        self.shift = rng.gauss(0, habits.sd_participant)
        self.report = Report()
        self.status = 0  # of the last page

    def take_part(self, path: str) -> Report:
        """From the link to the code, or until it drops out or is refused."""
        try:
            self.report.ends[self._walk(path)] += 1
        except (OSError, http.client.HTTPException, RuntimeError) as error:
            self.report.ends["failed"] += 1
            self.report.errors.append(str(error) or type(error).__name__)
        return self.report

    def _walk(self, path: str) -> str:
        leaves_after = self.rng.randint(0, 20) if self.rng.random() < self.habits.dropout else None
        page = self._get(path)
        for _ in range(MOST_PAGES):
            if CODE.search(page):
                return "finished"
            if (form := FORM.search(page)) is None:
                return "refused"
            said = {name: html.unescape(value) for name, value in HIDDEN.findall(form[0])}
            if self.status >= 400:
                return "refused"
            if 'id="trial"' not in form[0]:
                page = self._post(form[1], said | {"consent": "yes"} | self._about(form[0]))
                continue
            if leaves_after is not None and self.report.votes >= leaves_after:
                return "dropped out"
            for picture in PICTURE.findall(form[0]):
                self._ok(self._ask("picture", "GET", picture))
            said |= {"choice": self._choice(form[1], 'value="tie"' in form[0])}
            said |= {"rt_ms": str(round(self.rng.lognormvariate(7.3, 0.5)))}
            page = self._vote(form[1], said)
        raise RuntimeError("the study does not end")

    def _about(self, form: str) -> dict[str, str]:
        """Answers to the questions about the person with which one may take part."""
        keys = list(dict.fromkeys(map(int, ANSWER.findall(form))))
        asked = [question.asked() for question in FormQuestion.objects.filter(pk__in=keys)]
        return {question.name: staying(question) for question in asked}

    def _choice(self, action: str, ties: bool) -> str:
        trial = Trial.objects.only("left", "right", "pair_id").get(token=action.rstrip("/").rsplit("/", 1)[1])
        if trial.left.startswith("spoilt-") or trial.right.startswith("spoilt-"):
            return "right" if trial.left.startswith("spoilt-") else "left"
        if ties and self.rng.random() < self.habits.ties:
            return "tie"
        treatment_left = trial.left == "treatment"
        logit = math.log(self.habits.preference / (1 - self.habits.preference))
        logit += self.shift + self.items.get(trial.pair_id, 0.0)
        logit += self.habits.side_bias if treatment_left else -self.habits.side_bias
        chance = 1 / (1 + math.exp(-logit))
        return "left" if (self.rng.random() < chance) == treatment_left else "right"

    # --- requests ------------------------------------------------------------------------------
    def _get(self, path: str) -> str:
        for _ in range(10):
            status, leads, content = self._ask("page", "GET", path)
            if status not in (302, 303):
                return self._page(status, content)
            path = leads
        raise RuntimeError(f"{path} leads round in a circle")

    def _post(self, path: str, said: dict[str, str]) -> str:
        status, leads, content = self._ask("page", "POST", path, said)
        return self._get(leads) if status == 303 else self._page(status, content)

    def _vote(self, path: str, said: dict[str, str]) -> str:
        with ThreadPoolExecutor(1) if self.habits.double_submit else nullcontext() as beside:
            # A double click: the second request is on its way before the first is answered.
            again = beside.submit(self.second.request, "POST", path, said) if beside else None
            status, leads, content = self._ask("vote", "POST", path, said)
        if again and again.result()[:2] != (status, leads):
            raise RuntimeError(f"the same answer at once was answered {again.result()[0]}, not {status}")
        if status == 303:
            self.report.votes += 1
            if again:
                self._one_row(path)
            return self._get(leads)
        return self._page(status, content)

    def _one_row(self, path: str) -> None:
        """Raises RuntimeError if two equal answers at once became more than one vote."""
        trial = Trial.objects.select_related("participant").get(token=path.rstrip("/").rsplit("/", 1)[1])
        person = trial.participant
        if (rows := person.votes.count()) != trial.position + 1 or person.votes_count != rows:
            raise RuntimeError(f"{trial.position + 1} answers, each sent twice, became {rows} votes")

    def _page(self, status: int, content: bytes) -> str:
        self.status = status
        if status >= 500 and status != 503:
            raise RuntimeError(f"the site answered {status}")
        return content.decode()

    @staticmethod
    def _ok(answer: tuple[int, str, bytes]) -> None:
        if answer[0] != 200:
            raise RuntimeError(f"a picture was answered {answer[0]}")

    def _ask(
        self, kind: str, method: str, path: str, body: dict[str, str] | None = None
    ) -> tuple[int, str, bytes]:
        """A request whose time is kept."""
        began = time.perf_counter()
        answer = self.browser.request(method, path, body)
        self.report.seconds[kind].append(time.perf_counter() - began)
        return answer
