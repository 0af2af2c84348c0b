"""Keys for one purpose each, all derived from the site's secret key."""

import hashlib
import hmac

from django.conf import settings


def keys(purpose: str) -> list[bytes]:
    """The present key first, then those of earlier secret keys (SECRET_KEY_FALLBACKS)."""
    return [
        hmac.digest(secret.encode(), f"evalsite {purpose}".encode(), hashlib.sha256)
        for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    ]
