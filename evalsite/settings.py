"""Settings. Each value that differs between machines is one environment variable, read once here."""

from pathlib import Path

import environ
from csp.constants import NONE, SELF
from django.urls import reverse_lazy

ROOT = Path(__file__).resolve().parent.parent
env = environ.Env()

# --- What a deployment sets -------------------------------------------------------------------
SECRET_KEY = env.str("SECRET_KEY", default="")  # Django refuses to use an empty one
DEBUG = env.bool("DEBUG", default=False)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
HTTPS = env.bool("HTTPS", default=False)  # served behind TLS: cookies are then sent over it only
VAR = Path(env.str("EVALSITE_VAR", default=str(ROOT / "var")))  # everything the site writes
IMAGE_ROOT = Path(env.str("EVALSITE_IMAGES", default=str(VAR / "images")))
WEIGHTS = Path(env.str("EVALSITE_WEIGHTS", default=str(VAR / "weights")))  # weight files of metrics
CLIP = env.str("EVALSITE_CLIP", default="")  # open_clip model of drift, as MODEL:TAG or local-dir:FOLDER
S3_BUCKET = env.str("EVALSITE_S3_BUCKET", default="")  # keeps the images there instead of in a folder
S3_ENDPOINT = env.str("EVALSITE_S3_ENDPOINT", default="")  # "" is Amazon's
S3_REGION = env.str("EVALSITE_S3_REGION", default="")
DATABASE_URL = env.str("DATABASE_URL", default="postgresql://localhost/evalsite")
REDIS_URL = env.str("REDIS_URL", default="redis://localhost:6379/0")
DEVICE = env.str("EVALSITE_DEVICE", default="")  # "" is CUDA where there is one, else the CPU
LEASE_SECONDS = env.int("EVALSITE_LEASE_SECONDS", default=60)  # a silent worker loses its chunk after this
CHUNK_SECONDS = env.float("EVALSITE_CHUNK_SECONDS", default=30.0)  # work planned into one chunk
UPLOAD_FILES = env.int("EVALSITE_UPLOAD_FILES", default=20_000)  # in an uploaded zip of images
UPLOAD_BYTES = env.int("EVALSITE_UPLOAD_BYTES", default=4 * 2**30)  # of it when unpacked
RECONCILE_SECONDS = env.float("EVALSITE_RECONCILE_SECONDS", default=15.0)

# --- Django -----------------------------------------------------------------------------------
INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin.apps.SimpleAdminConfig",  # urls.py finds the pages; commands and workers have none
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "csp",
    "evalsite",
    "generation",
    "studies",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "evalsite.errors.WholeKeys",
]
ROOT_URLCONF = "evalsite.urls"
WSGI_APPLICATION = "evalsite.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [ROOT / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
# Each thread keeps its connection; one that died with a restarted server is replaced before it is used.
DATABASES = {
    "default": env.db_url_config(DATABASE_URL) | {"CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": True},
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
LOGIN_URL = reverse_lazy("admin:login")
LOGIN_REDIRECT_URL = reverse_lazy("admin:index")

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = True

STATIC_URL = "static/"
STATIC_ROOT = VAR / "static"
STATICFILES_DIRS = [ROOT / "static"]
STORAGES = {
    "default": {"BACKEND": f"generation.{'s3.S3ContentStorage' if S3_BUCKET else 'storage.ContentStorage'}"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = DEBUG

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        # The admin's interface (Alpine.js in django-unfold) evaluates its attributes.
        "script-src": [SELF, "'unsafe-inline'", "'unsafe-eval'"],
        "style-src": [SELF, "'unsafe-inline'"],
        "frame-ancestors": [NONE],
        "form-action": [SELF],
        "base-uri": [SELF],
        "object-src": [NONE],
    },
}

# --- Celery: a message is only a nudge; the database holds the work ----------------------------
CELERY_BROKER_URL = REDIS_URL
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_CONCURRENCY = 1
CELERY_WORKER_POOL = "prefork"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
# A chunk is about half a minute's work; what takes longer than this hangs, or loads a model from afar.
CELERY_TASK_SOFT_TIME_LIMIT = env.int("EVALSITE_TASK_SECONDS", default=2 * 3600)
CELERY_TASK_TIME_LIMIT = CELERY_TASK_SOFT_TIME_LIMIT + 60
# Redis gives a message that is not acknowledged for so long to another worker.
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 2 * CELERY_TASK_TIME_LIMIT}
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_ROUTES = {
    "generation.tasks.make_images": {"queue": "generation"},
    "generation.tasks.score_images": {"queue": "scoring"},
    "evalsite.tasks.advance_tuning": {"queue": "generation"},
}
CELERY_BEAT_SCHEDULE = {
    "reconcile": {"task": "generation.tasks.reconcile", "schedule": RECONCILE_SECONDS},
    "watch-tunings": {"task": "evalsite.tasks.watch_tunings", "schedule": RECONCILE_SECONDS},
    "sweep-files": {"task": "generation.tasks.sweep_files", "schedule": 600.0},
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "filters": {"one_line": {"()": "evalsite.errors.OneLine"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["one_line"]}},
    "root": {"handlers": ["stderr"], "level": env.str("LOG_LEVEL", default="INFO")},
}

UNFOLD = {
    "SITE_TITLE": "evalsite",
    "SITE_HEADER": "evalsite",
    "SITE_SUBHEADER": "Do people prefer the new sampler?",
    "SITE_SYMBOL": "compare",
    "SITE_URL": None,
    "SHOW_HISTORY": True,
    "DASHBOARD_CALLBACK": "evalsite.home.context",
}
