"""Addresses of the participant's pages, all below /s/<study>/."""

from django.urls import include, path

from studies import views
from studies.frame import either

pages = [
    path("", views.welcome, name="study"),
    path("join/", views.join, name="study-join"),
    path("again/", views.again, name="study-again"),
    path("questions/", either(views.questions, views.answer), name="study-questions"),
    path("screened/", views.screened, name="study-screened"),
    path("instructions/", views.instructions, name="study-instructions"),
    path("begin/", views.begin, name="study-begin"),
    path("trial/", views.trial, name="study-trial"),
    path("vote/<str:token>/", either(views.vote_reloaded, views.vote), name="study-vote"),
    path("picture/<str:address>.png", views.picture, name="study-picture"),
    path("end/", views.end, name="study-end"),
    path("leave/", views.leave, name="study-leave"),
    path("withdraw/", views.withdraw, name="study-withdraw"),
    path("left/", views.left, name="study-left"),
]
urlpatterns = [path("s/<slug:slug>/", include(pages))]
