"""The participant's pages: each turns a request into one call and its outcome into a page.

They stand in the order in which a person sees them. A GET changes nothing.
"""

import logging
import math
from collections.abc import Mapping
from dataclasses import replace

from django.core.files.storage import default_storage
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import translation

from studies import cookies, enrolment, form, frame, pages, recruitment, screening, voting
from studies.blinding import read_image_address
from studies.frame import form_post, go, participant_page
from studies.models import Participant, Presentation, Protocol, Study, Trial
from studies.refusals import Closed, Full, LinkUsed, NoCsrf, NotFound, Paused, Refused, Withdrawn

log = logging.getLogger(__name__)


def _study(slug: str) -> Study:
    study = Study.objects.filter(slug=slug).first()
    if study is None or study.state == Study.State.DRAFT:
        raise NotFound
    return study


def _by_open_link(study: Study, arrival: recruitment.Arrival) -> bool:
    """Whether nothing but the browser tells who comes."""
    return study.entry == Study.Entry.OPEN and not arrival.link and not arrival.external_id


def _texts(protocol: Protocol) -> pages.Texts:
    """The study's texts in the language of the page, where it has them."""
    return pages.texts(protocol, translation.get_language())


def _place(person: Participant) -> str:
    """The address of the page that the person stands at. Raises what keeps them from going on."""
    slug = person.study.slug
    if person.state == Participant.State.FULL:
        raise Full(person)
    if person.state == Participant.State.FINISHED:
        return reverse("study-end", args=[slug])
    if person.state == Participant.State.SCREENED:
        return reverse("study-screened", args=[slug])
    voting.must_be_open(person)
    if voting.form_pending(person):
        return reverse("study-questions", args=[slug])
    return reverse("study-instructions" if person.started_at is None else "study-trial", args=[slug])


def _somebody_else(person: Participant, arrival: recruitment.Arrival) -> bool:
    """Whether this address is another person's than the one whose cookie the browser holds."""
    return (
        person.state == Participant.State.WITHDRAWN
        or bool(arrival.link)
        or arrival.external_id not in ("", person.external_id)
    )


@participant_page
def welcome(request: HttpRequest, slug: str) -> HttpResponse:
    """What the study is and what people agree to; who has begun is sent on to where they stand."""
    study = _study(slug)
    arrival = recruitment.arrival(study, request.GET)
    person = frame.person(request, slug)
    # Another person at the same computer may come with an address of their own.
    if person is not None and not _somebody_else(person, arrival):
        return go(request, _place(person))
    # Who came before, in another browser, agrees once more and goes on, or gets the code that is theirs.
    if study.state in (Study.State.CLOSED, Study.State.PAUSED) and not enrolment.knows(
        study, replace(arrival, browser=cookies.browser(request))
    ):
        raise Closed if study.state == Study.State.CLOSED else Paused
    protocol = study.protocols.defer("document", "leaks").first()
    if protocol is None:
        raise NotFound
    context = {"slug": slug, "texts": _texts(protocol), "fields": arrival.fields(study)}
    response = render(request, "studies/welcome.html", context)
    if _by_open_link(study, arrival) and not cookies.browser(request):
        cookies.name_browser(response, request, slug)
    return response


@form_post
def join(request: HttpRequest, slug: str) -> HttpResponse:
    """Consent: the person gets a seat, or hears that all are taken."""
    study = _study(slug)
    person = frame.person(request, slug)
    arrival = recruitment.arrival(study, request.POST, cookies.browser(request))
    if person is None or _somebody_else(person, arrival):
        if _by_open_link(study, arrival) and not arrival.browser:
            raise NoCsrf  # one browser is one person, and this one keeps no cookies
        person = enrolment.enrol(study, replace(arrival, language=translation.get_language()))
    if person.state == Participant.State.FULL:
        person = enrolment.try_again(person)
    if person.state == Participant.State.WITHDRAWN:
        raise LinkUsed
    try:
        response = go(request, _place(person))
    except Refused as refused:
        response = frame.refusal(request, slug, refused)
    cookies.set_key(response, request, slug, person.key)
    return response


@form_post
def again(request: HttpRequest, slug: str) -> HttpResponse:
    """Somebody who came too late asks whether a seat has opened since."""
    return go(request, _place(enrolment.try_again(frame.known(request, slug))))


@participant_page
def questions(request: HttpRequest, slug: str) -> HttpResponse:
    """What the study asks about the person before it begins."""
    person = frame.known(request, slug)
    if (place := _place(person)) != reverse("study-questions", args=[slug]):
        return go(request, place)
    return _form(request, person, {}, {})


@form_post
def answer(request: HttpRequest, slug: str) -> HttpResponse:
    """The answers to all questions about the person; the same ones again get the same reply."""
    try:
        return go(request, _place(screening.answer(slug, cookies.key(request), request.POST)))
    except screening.NotAnswered as error:
        return _form(request, error.person, request.POST, error.wrong)


def _form(
    request: HttpRequest, person: Participant, sent: Mapping[str, str], wrong: Mapping[int, str]
) -> HttpResponse:
    said = _texts(person.protocol)
    context = {
        "slug": person.study.slug, "texts": said, "fields": pages.form_fields(said, sent, wrong),
        "wrong": len(wrong), "longest": form.LONGEST,
    }  # fmt: skip
    return render(request, "studies/questions.html", context, status=400 if wrong else 200)


@participant_page
def screened(request: HttpRequest, slug: str) -> HttpResponse:
    """The end for somebody whose answers about themselves screen them out."""
    person = frame.known(request, slug)
    if person.state != Participant.State.SCREENED:
        return go(request, _place(person))
    context = {
        "slug": slug, "texts": _texts(person.protocol), "code": person.code,
        "way_back": frame.way_back(person),
    }  # fmt: skip
    return render(request, "studies/screened.html", context)


@participant_page
def instructions(request: HttpRequest, slug: str) -> HttpResponse:
    person = frame.known(request, slug)
    here = reverse("study-instructions", args=[slug])
    # Somebody who reads them again in the middle goes on from here.
    if person.state != Participant.State.ACTIVE:
        return go(request, _place(person))
    voting.must_be_open(person)
    if voting.form_pending(person):
        return go(request, _place(person))
    said = _texts(person.protocol)
    context = {
        "slug": slug, "texts": said, "here": here, "question": next(iter(said.questions.values())),
        "begun": person.votes_count > 0,
    }  # fmt: skip
    return render(request, "studies/instructions.html", context)


@form_post
def begin(request: HttpRequest, slug: str) -> HttpResponse:
    return go(request, _place(voting.begin(slug, cookies.key(request))))


@participant_page
def trial(request: HttpRequest, slug: str) -> HttpResponse:
    """The trial at which the person stands."""
    person = frame.known(request, slug)
    here = reverse("study-trial", args=[slug])
    if (place := _place(person)) != here:
        return go(request, place)
    now = person.votes_count
    near = {
        t.position: t
        for t in person.trials.filter(position__range=(max(0, now - 1), now + 1)).select_related(
            "pair__baseline", "vote"
        )
    }
    said = _texts(person.protocol)
    context = pages.trial_context(slug, said, near[now], near.get(now + 1), near.get(now - 1))
    return render(request, "studies/trial.html", context)


@form_post
def vote(request: HttpRequest, slug: str, token: str) -> HttpResponse:
    """One answer. The same answer again gets the same reply."""
    stored = voting.cast(slug, cookies.key(request), token, request.POST.get("choice", ""), _seen(request))
    done = stored.participant.state == Participant.State.FINISHED
    return go(request, reverse("study-end" if done else "study-trial", args=[slug]))


@participant_page
def vote_reloaded(request: HttpRequest, slug: str, token: str) -> HttpResponse:
    """Somebody reloads the page that a refused answer gave: back to where they stand."""
    return go(request, _place(frame.known(request, slug)))


@participant_page
def picture(request: HttpRequest, slug: str, address: str) -> HttpResponse:
    """One side of a trial, for the person whose trial it is, not before the one ahead of it is shown."""
    read = read_image_address(address)
    key = cookies.key(request)
    shown = (
        Trial.objects.filter(token=read[0], participant__key=key, participant__study__slug=slug)
        .select_related("participant", "pair")
        .first()
        if read and key
        else None
    )
    if read is None or shown is None or shown.position > shown.participant.votes_count + 1:
        raise NotFound
    image, spoilt = pages.image_of(shown.pair, getattr(shown, read[1]))
    copy = Presentation.objects.get(protocol=shown.participant.protocol_id, image=image, spoilt=spoilt)
    try:
        with default_storage.open(copy.file) as file:
            return pages.picture(file.read())
    except FileNotFoundError as error:
        # The page says that the picture did not arrive and asks again; somebody has to bring it back.
        log.error("The presentation copy %s has vanished from the image storage", copy.file)
        raise NotFound from error


@participant_page
def end(request: HttpRequest, slug: str) -> HttpResponse:
    """Thanks and the completion code."""
    person = frame.known(request, slug)
    if person.state != Participant.State.FINISHED:
        return go(request, _place(person))
    said = _texts(person.protocol)
    context = {
        "slug": slug, "texts": said, "code": person.code,
        "way_back": frame.way_back(person),
    }  # fmt: skip
    return render(request, "studies/end.html", context)


@participant_page
def leave(request: HttpRequest, slug: str) -> HttpResponse:
    """What taking one's answers back does, before it is done."""
    person = frame.known(request, slug)
    if person.state == Participant.State.WITHDRAWN:
        raise Withdrawn(person)
    return render(
        request, "studies/leave.html", {"slug": slug, "votes": person.votes_count + person.answers.count()}
    )


@form_post
def withdraw(request: HttpRequest, slug: str) -> HttpResponse:
    enrolment.withdraw(frame.known(request, slug))
    return go(request, reverse("study-left", args=[slug]))


@participant_page
def left(request: HttpRequest, slug: str) -> HttpResponse:
    person = frame.known(request, slug)
    if person.state != Participant.State.WITHDRAWN:
        return go(request, _place(person))
    return render(request, "studies/left.html", {"slug": slug, "contact": person.study.contact})


def _seen(request: HttpRequest) -> voting.Seen:
    """What the script measured. What can't be true is taken as not measured: it must never cost a vote."""

    def number(name: str, largest: float) -> float | None:
        try:
            value = float(request.POST.get(name, ""))
        except ValueError:
            return None
        return value if math.isfinite(value) and 0 <= value <= largest else None

    def whole(name: str, largest: int) -> int | None:
        value = number(name, largest)
        return None if value is None else round(value)

    day = 24 * 3600 * 1000
    return voting.Seen(
        rt_ms=whole("rt_ms", day), hidden_ms=whole("hidden_ms", day),
        viewport_width=whole("viewport_width", 100_000), viewport_height=whole("viewport_height", 100_000),
        pixel_ratio=number("pixel_ratio", 100), shown_width=number("shown_width", 100_000),
        shown_height=number("shown_height", 100_000), image_errors=whole("image_errors", 10_000),
    )  # fmt: skip
