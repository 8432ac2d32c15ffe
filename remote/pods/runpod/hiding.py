"""What must not appear in any text that comes back from RunPod: its key and the values of environment variables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from remote.secrets import Redactor, looks_secret


class Hiding:
    """A redactor that learns. It begins with the secret-looking variables of `environ`."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._values: set[str] = set()
        self._redact = Redactor()
        self.learn(value for name, value in environ.items() if looks_secret(name, value))

    def learn(self, values: Iterable[str]) -> None:
        """Hide these from now on, also as they look inside JSON, and each line of those that have several."""
        for value in values:
            spelled = json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]
            self._values.update((value, value.strip(), *spelled, *value.splitlines()))
        self._redact = Redactor(self._values)

    def __call__(self, text: str) -> str:
        return self._redact(text)
