"""Addresses of the participant's pages, all below /s/<study>/."""

from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt

from studies import views


@csrf_exempt  # the view for POST makes its own check
def _vote(request: HttpRequest, slug: str, token: str) -> HttpResponse:
    return (views.vote if request.method == "POST" else views.vote_reloaded)(request, slug=slug, token=token)


pages = [
    path("", views.welcome, name="study"),
    path("join/", views.join, name="study-join"),
    path("instructions/", views.instructions, name="study-instructions"),
    path("begin/", views.begin, name="study-begin"),
    path("trial/", views.trial, name="study-trial"),
    path("vote/<str:token>/", _vote, name="study-vote"),
    path("picture/<str:address>.png", views.picture, name="study-picture"),
    path("end/", views.end, name="study-end"),
    path("leave/", views.leave, name="study-leave"),
    path("withdraw/", views.withdraw, name="study-withdraw"),
    path("left/", views.left, name="study-left"),
]
urlpatterns = [path("s/<slug:slug>/", include(pages))]
