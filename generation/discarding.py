"""Files of deleted images: noted by the database, deleted by a sweep once nothing shows them.

A file can belong to several images, for its name is its content. So no image deletes its file: the database
notes the name of every image that is deleted (`Discarded`), however that happened, and the sweep looks later
whether another one shows the same.
"""

import datetime as dt
import hashlib

from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models.functions import Now

from generation import storage
from generation.models import Discarded, Image

# Far more than lies between keeping a file and recording its image: a worker's lease, or an import.
GRACE = dt.timedelta(hours=6)
AT_ONCE = 500


def keep(png: bytes) -> str:
    """As `storage.keep`, while files are swept."""
    # First of all, and in a transaction of its own: a sweep that is at this file is waited for.
    Discarded.objects.filter(pk=hashlib.sha256(png).hexdigest()).delete()
    return storage.keep(png)


def sweep() -> int:
    """Delete files of images that are gone. Returns how many were looked at: 0 when nothing is left to do.

    What people are shown are copies with names of their own. Raises OSError where the storage fails; its
    files are tried again.
    """
    with transaction.atomic():
        # `keep` waits for these rows; another sweep takes others.
        rows = (
            Discarded.objects.select_for_update(skip_locked=True)
            .filter(at__lt=Now() - GRACE)
            .order_by("at")[:AT_ONCE]
        )
        names = {row.sha256: storage.image_file(row.sha256) for row in rows}
        shown = set(Image.objects.filter(sha256__in=names).values_list("sha256", flat=True))
        for sha256, name in names.items():
            if sha256 not in shown:
                default_storage.delete(name)
        Discarded.objects.filter(pk__in=names).delete()
    return len(names)
