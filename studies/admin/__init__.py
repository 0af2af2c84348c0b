"""The researcher's pages about studies. Django finds them by this package."""

from studies.admin import people, records, study

__all__ = ["people", "records", "study"]
