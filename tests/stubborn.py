"""A browser whose script sends again until it is answered, as ours does."""

import http.client
import time

from studies import bots

PATIENCE = 120.0  # seconds


class Stubborn(bots.Browser):
    def request(self, method: str, path: str, body: dict[str, str] | None = None) -> tuple[int, str, bytes]:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                answer = super().request(method, path, body)
            except (OSError, http.client.HTTPException):
                self.connection.close()
            else:
                if answer[0] < 500:
                    return answer
            assert time.monotonic() < deadline, f"{method} {path} has had no answer for two minutes"
            time.sleep(0.2)
