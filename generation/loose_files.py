"""Files that no image may show, and the sweep that deletes those that none does.

A file can belong to several images, for its name is its content. So no image deletes its file. The database
notes the name of every image that is deleted (`LooseFile`), however that happened; and a file is noted before
it is kept, since its images may never be recorded. A day later the sweep looks whether an image shows it.
"""

import datetime as dt
import hashlib
import logging

from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models.functions import Now

from generation import storage
from generation.models import Image, LooseFile

# Far more than lies between keeping a file and recording its image: a chunk's work, or a large import.
GRACE = dt.timedelta(days=1)
AT_ONCE = 500
log = logging.getLogger(__name__)


def keep(png: bytes) -> str:
    """As `storage.keep`, for an image that is about to be recorded."""
    # First of all, and in a transaction of its own: a sweep that is at this file is waited for.
    LooseFile.objects.bulk_create(
        [LooseFile(sha256=hashlib.sha256(png).hexdigest(), at=Now())],
        update_conflicts=True,
        unique_fields=["sha256"],
        update_fields=["at"],
    )
    return storage.keep(png)


def sweep() -> int:
    """Look into old notes. Returns how many there were: 0 when nothing is left to do.

    What people are shown are copies with names of their own. A file that can't be deleted is tried again
    after another day.
    """
    with transaction.atomic():
        # `keep` waits for these rows; another sweep takes others.
        old = (
            LooseFile.objects.select_for_update(skip_locked=True)
            .filter(at__lt=Now() - GRACE)
            .order_by("at")[:AT_ONCE]
        )
        names = {row.sha256: storage.image_file(row.sha256) for row in old}
        shown = set(Image.objects.filter(sha256__in=names).values_list("sha256", flat=True))
        left: dict[str, OSError] = {}
        for sha256, name in names.items():
            if sha256 not in shown:
                try:
                    default_storage.delete(name)
                except OSError as error:
                    left[sha256] = error
        LooseFile.objects.filter(pk__in=left).update(at=Now())
        LooseFile.objects.filter(pk__in=names.keys() - left.keys()).delete()
    if left:
        why = next(iter(left.values()))
        log.warning("%s files of deleted images can't be deleted (%s); tried again in a day.", len(left), why)
    return len(names)
