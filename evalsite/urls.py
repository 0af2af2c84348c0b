"""Addresses: the admin for researchers, everything else for participants."""

from django.contrib import admin
from django.templatetags.static import static
from django.urls import include, path
from django.views.generic import RedirectView


class Icon(RedirectView):
    """Browsers ask for /favicon.ico on pages that name no icon, such as the admin's."""

    def get_redirect_url(self, *args: object, **kwargs: object) -> str:
        return static("studies/icon.svg")


admin.autodiscover()
handler500 = "evalsite.errors.server_error"
urlpatterns = [
    path("favicon.ico", Icon.as_view()),
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("", include("studies.urls")),
]
