from django.apps import AppConfig


class GenerationConfig(AppConfig):
    name = "generation"
    verbose_name = "Images"
    default_auto_field = "django.db.models.BigAutoField"
