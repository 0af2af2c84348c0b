from django.apps import AppConfig


class StudiesConfig(AppConfig):
    name = "studies"
    verbose_name = "People"
    default_auto_field = "django.db.models.BigAutoField"
