"""The researcher's pages about studies. Django finds them by this package."""

from studies.admin import compose, people, records, study

__all__ = ["compose", "people", "records", "study"]
