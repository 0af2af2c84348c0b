"""The site with one more view, which only makes an INSERT: what `benchmarks.voting` compares votes with."""

from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()

from django.db import connection  # noqa: E402
from django.http import HttpRequest, HttpResponse  # noqa: E402
from django.urls import path  # noqa: E402
from django.utils import timezone  # noqa: E402
from django.views.decorators.csrf import csrf_exempt  # noqa: E402

from evalsite import urls  # noqa: E402


@csrf_exempt
def insert(request: HttpRequest) -> HttpResponse:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO bench_insert (choice, at) VALUES (%s, %s)", [request.POST["choice"], timezone.now()]
        )
    return HttpResponse(status=204)


urls.urlpatterns.append(path("bench/insert/", insert))
