"""Reading everything as it was at one moment."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction


@contextmanager
def snapshot(*, large: bool = False) -> Iterator[None]:
    """A transaction whose queries all see the same rows, whatever is written meanwhile.

    Inside another transaction it is a part of that one and sees what that one sees. large: its queries read
    so many rows that the database is given memory to sort and join them in.
    """
    outermost = not connection.in_atomic_block
    with transaction.atomic():
        if outermost:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        if large:
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL work_mem = '128MB'; SET LOCAL jit = off")
        yield
