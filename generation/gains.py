"""How much higher a pair's treatment scores than its baseline: kept, so that an index serves their order."""

from django.db.models import F

from generation.models import Chunk, Gain, Pair


def renew(chunk: Chunk) -> None:
    """Compute the gains of a chunk's pairs from their present scores, in the caller's transaction."""
    before, after = "baseline__scores", "treatment__scores"
    of_both = Pair.objects.filter(
        treatment__chunk=chunk,
        **{f"{after}__{field}": F(f"{before}__{field}") for field in ("metric", "version")},
    )
    rows = of_both.values_list(
        "pk", f"{after}__metric", f"{after}__version", F(f"{after}__value") - F(f"{before}__value")
    )
    Gain.objects.filter(pair__treatment__chunk=chunk).delete()
    Gain.objects.bulk_create(
        Gain(pair_id=pair, metric=metric, version=version, value=value)
        for pair, metric, version, value in rows
    )
