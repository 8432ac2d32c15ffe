"""Finds what looks like a secret in the content of files that are about to leave the laptop. Never shows the value."""

from __future__ import annotations

import re

TEXT_LIMIT = 1 << 20
"""Files above this many bytes are data, not text that somebody wrote a key into."""

_BEFORE = rb"(?<![A-Za-z0-9_-])"
_TOKENS = (
    ("a RunPod key", (b"rpa_",), re.compile(_BEFORE + rb"(rpa_[A-Za-z0-9]{20,})"), 8),
    ("a Hugging Face token", (b"hf_",), re.compile(_BEFORE + rb"(hf_[A-Za-z0-9]{24,})"), 8),
    ("an API key", (b"sk-",), re.compile(_BEFORE + rb"(sk-(?=[A-Za-z0-9_-]*[0-9A-Z])[A-Za-z0-9_-]{20,})"), 8),
    ("an AWS key", (b"AKIA", b"ASIA"), re.compile(_BEFORE + rb"((?:AKIA|ASIA)[0-9A-Z]{16})(?![0-9A-Z])"), 6),
    (
        "a private key",
        (b"-----BEGIN ",),
        re.compile(rb"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----(?:\\r|\\n|[\s\"'+,>|])*([A-Za-z0-9+/=]{32,})"),
        8,
    ),
)
"""(what it is, bytes of which each hit holds one, pattern whose group 1 is the secret, how many different characters
a real one has at least).

The bytes are looked for first, since a search for bytes is a hundred times as fast as one for a pattern.
The lengths and the variety keep source code that merely names a prefix, or a filler such as `xxxx`, from being a hit.
"""


def find_secret(data: bytes) -> tuple[int, str] | None:
    """(line number from 1, what it is) of the first thing in `data` that looks like a secret; None for binary data."""
    if len(data) > TEXT_LIMIT or b"\0" in data:
        return None
    hits = [
        (match.start(), what)
        for what, marks, pattern, variety in _TOKENS
        if any(mark in data for mark in marks)
        for match in pattern.finditer(data)
        if len(set(match.group(1))) >= variety
    ]
    if not hits:
        return None
    start, what = min(hits)
    return data.count(b"\n", 0, start) + 1, what
