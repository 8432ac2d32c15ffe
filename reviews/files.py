"""Reading requests and responses of every layout: who was asked, who has answered, with which verdict and findings.

Layouts: unified (`requests/`, `responses/`, `archive/<cycle>/`), per reviewer (`<reviewer>/{pending,in_progress,done,
responses}`), and raw text files beside them. A response without a verdict is INVALID and counts as no answer. Nothing
here writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reviews.findings import SEVERITIES, Finding, read_findings
from reviews.verdicts import APPROVE, INVALID, read_verdict
from task_board import fields
from task_board.document import Document, one_line, plain

UNIFIED, PER_REVIEWER, ARCHIVE, RAW = "unified", "per-reviewer", "archive", "raw"
REQUEST_FOLDERS = ("pending", "in_progress", "done", "completed", "requests")
_TEXTS = {".md", ".markdown", ".txt", ".text", ""}
_NO_REVIEW = re.compile(r"(?:readme|.*template|index)\b", re.IGNORECASE)
_SPLIT = re.compile(r"[,;/&]|\s+and\s+")
_AGENTS = re.compile(r"\b(codex|gemini|claude[ _-]?code|claude|gpt[\w.-]*)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Response:
    """One answer. `verdict` is approve, changes, reject or INVALID; `words` are the reviewer's own."""

    reviewer: str
    verdict: str
    words: str | None
    file: str
    findings: tuple[Finding, ...] = ()

    @property
    def valid(self) -> bool:
        return self.verdict != INVALID


@dataclass(frozen=True, slots=True)
class Review:
    """One request with the answers to it. An answer to no known request has `request` None and is never complete."""

    id: str
    layout: str
    request: str | None
    title: str
    created: str | None
    assigned: tuple[str, ...]
    responses: tuple[Response, ...]
    headers: dict[str, str] = field(default_factory=dict)
    cycle: str | None = None
    requests: tuple[str, ...] = ()
    """Every file of the request: a folder for each reviewer holds one each."""

    @property
    def waiting(self) -> tuple[str, ...]:
        """Assigned reviewers without a valid answer."""
        answered = {response.reviewer for response in self.responses if response.valid}
        return tuple(name for name in self.assigned if name not in answered)

    @property
    def complete(self) -> bool:
        """True when every assigned reviewer has answered validly."""
        return self.request is not None and bool(self.assigned) and not self.waiting

    @property
    def approved(self) -> bool:
        """Complete, and every valid answer approves."""
        return self.complete and all(response.verdict == APPROVE for response in self.counted)

    @property
    def counted(self) -> tuple[Response, ...]:
        """The newest valid answer of each reviewer."""
        return tuple({response.reviewer: response for response in self.responses if response.valid}.values())

    def findings(self) -> dict[str, int]:
        """How many of each severity, in the answers that count."""
        every = [finding.severity for response in self.counted for finding in response.findings]
        return {severity: every.count(severity) for severity in SEVERITIES}

    def as_dict(self) -> dict[str, Any]:
        """The stable JSON of one review."""
        return {
            "id": self.id, "layout": self.layout, "request": self.request, "title": self.title, "created": self.created,
            "reviewers": [self._reviewer(name) for name in self.people()], "findings": self.findings(),
            "complete": self.complete,
        }  # fmt: skip

    def people(self) -> tuple[str, ...]:
        """Assigned reviewers, then whoever answered besides."""
        return tuple(dict.fromkeys([*self.assigned, *(response.reviewer for response in self.responses)]))

    def answer(self, name: str) -> Response | None:
        """The answer that stands for a reviewer: the newest valid one, else the newest."""
        mine = [response for response in self.responses if response.reviewer == name]
        return next((r for r in reversed(mine) if r.valid), mine[-1] if mine else None)

    def _reviewer(self, name: str) -> dict[str, Any]:
        answer = self.answer(name)
        if answer is None:
            return {"name": name, "state": "waiting", "verdict": None, "verdict_words": None, "file": None}
        state = "valid" if answer.valid else "invalid"
        return {
            "name": name, "state": state, "verdict": answer.verdict, "verdict_words": answer.words, "file": answer.file
        }  # fmt: skip


@dataclass
class _Set:
    """Files that belong together: one unified folder, one archived cycle, or all per-reviewer folders."""

    layout: str
    cycle: str | None = None
    requests: list[tuple[Path, str | None]] = field(default_factory=list)
    answers: list[tuple[Path, str | None]] = field(default_factory=list)


def read_reviews(root: Path) -> list[Review]:
    """Every request of the tree with its answers, and the answers that belong to none; archived ones come last."""
    found = [review for group in _sets(root) for review in _reviews(group)]
    return sorted(found, key=lambda r: (r.layout == ARCHIVE, r.created or "9", r.id))


def render(reviews: list[Review]) -> str:
    """Requests and answers as text."""
    lines = []
    for review in reviews:
        state = "complete" if review.complete else "open" if review.request else "no such request"
        where = f", {review.layout}{' ' + review.cycle if review.cycle else ''}" if review.layout != UNIFIED else ""
        lines.append(f"{review.id}  [{state}{where}]  {review.title}")
        for name in review.people():
            answer = review.answer(name)
            said = "no answer yet" if answer is None else f"{answer.verdict} ({answer.words or 'states no verdict'})"
            lines.append(f"  {name}: {said}")
        counts = [f"{count} {severity}" for severity, count in review.findings().items() if count]
        lines += [f"  findings: {', '.join(counts)}"] if counts else []
    return "\n".join(lines) or "no review requests"


def reviewer_name(words: str) -> str:
    """One form of a name: "Claude Code" and "claude_code" are one reviewer."""
    return re.sub(r"[\s-]+", "_", plain(words.split("(")[0]).strip(" @.").lower()).strip("_")


def stem(name: str) -> str:
    """A file's name without what says only how it is written."""
    return re.sub(r"(?:\.(?:md|markdown|txt|text))+$", "", name, flags=re.IGNORECASE)


def _sets(root: Path) -> Iterator[_Set]:
    yield _unified(root, _Set(UNIFIED))
    archive = root / "archive"
    loose = _Set(ARCHIVE)
    for path in _entries(archive):
        if path.is_dir() and path.name not in ("requests", "responses"):
            group = _unified(path, _Set(ARCHIVE, path.name))
            _per_reviewer(path, group)
            _raw(path, group)
            yield group
    _unified(archive, loose)
    _raw(archive, loose)
    yield loose
    group = _Set(PER_REVIEWER)
    _per_reviewer(root, group)
    yield group
    raw = _Set(RAW)
    _raw(root, raw)
    yield raw


def _unified(root: Path, group: _Set) -> _Set:
    group.requests += [(path, None) for path in _files(root / "requests")]
    group.answers += [(path, None) for path in _files(root / "responses")]
    return group


def _per_reviewer(root: Path, group: _Set) -> None:
    for folder in _entries(root):
        if not folder.is_dir() or folder.name in ("requests", "responses", "archive", "__pycache__"):
            continue
        for name in REQUEST_FOLDERS:
            group.requests += [(path, folder.name) for path in _files(folder / name)]
        group.answers += [(path, folder.name) for path in _files(folder / "responses")]
        if any((folder / name).is_dir() for name in (*REQUEST_FOLDERS, "responses")):
            loose = [p for p in _entries(folder) if p.is_file() and _is_text(p)]
            group.answers += [(path, folder.name) for path in loose]


def _raw(root: Path, group: _Set) -> None:
    """Files that lie in the folder itself: answers, unless they name reviewers."""
    for path in _entries(root):
        if path.is_file() and _is_text(path) and path.suffix != "":
            asks = bool(_assigned(_headers(_document(path))))
            (group.requests if asks else group.answers).append((path, None))


def _reviews(group: _Set) -> list[Review]:
    requests: dict[str, list[tuple[Path, str | None]]] = {}
    for path, owner in group.requests:
        requests.setdefault(stem(path.name), []).append((path, owner))
    documents = {name: _document(files[0][0]) for name, files in requests.items()}
    assigned = {name: _asked(documents[name], files) for name, files in requests.items()}
    answers: dict[str, list[Response]] = {}
    loose: list[Response] = []
    for path, owner in group.answers:
        document = _document(path)
        name = _belongs(path, document, list(requests))
        response = _response(path, owner, document, name, assigned.get(name or "", ()))
        if name is None:
            loose.append(response)
        else:
            answers.setdefault(name, []).append(response)
    found = [
        _review(
            group, name, [path for path, _ in requests[name]], documents[name], assigned[name], answers.get(name, [])
        )
        for name in requests
    ]
    return found + [_orphan(group, response) for response in loose]


def _review(
    group: _Set, name: str, paths: list[Path], document: Document, assigned: tuple[str, ...], answers: list[Response]
) -> Review:
    headers = _headers(document)
    return Review(
        one_line(name), group.layout, str(paths[0]), _title(document), _created(name, headers), assigned,
        tuple(sorted(answers, key=lambda r: _natural(r.file))), headers, group.cycle, tuple(map(str, paths)),
    )  # fmt: skip


def _natural(file: str) -> tuple[list[str | int], str]:
    """Order of answers: `_9` before `_11`."""
    parts = re.split(r"([0-9]+)", stem(Path(file).name))
    return [int(part) if n % 2 else part for n, part in enumerate(parts)], file


def _orphan(group: _Set, response: Response) -> Review:
    path = Path(response.file)
    document = _document(path)
    name = stem(path.name)
    return Review(
        one_line(name), group.layout, None, _title(document), _created(name, _headers(document)), (), (response,),
        {}, group.cycle,
    )  # fmt: skip


def _belongs(path: Path, document: Document, requests: list[str]) -> str | None:
    """The request that a response answers: the one it names, else its namesake, else the longest beginning."""
    headers, name = _headers(document), stem(path.name)
    for key in ("request", "request file", "review request", "in reply to"):
        said = stem(plain(headers.get(key, "")).rsplit("/", 1)[-1].split(" ")[0])
        if said in requests:
            return said
    if name in requests:
        return name
    # `a_b` must not take the answers to `a_b_c`.
    return max((r for r in requests if re.match(re.escape(r) + r"[_.-]", name)), key=len, default=None)


def _response(
    path: Path, owner: str | None, document: Document, request: str | None, assigned: tuple[str, ...]
) -> Response:
    verdict = read_verdict(document)
    who = _who(path, owner, document, request, assigned)
    return Response(who, verdict.value, verdict.words, str(path), read_findings(document))


def _who(path: Path, owner: str | None, document: Document, request: str | None, assigned: tuple[str, ...]) -> str:
    name = stem(path.name)
    tail = name.removeprefix(request).strip("_-.") if request and name != request else ""
    tail = re.sub(r"[_-]?(?:v|r)?\d+$", "", tail)
    said = [owner or "", tail, _headers(document).get("reviewer", ""), _headers(document).get("reviewed by", "")]
    names = [reviewer_name(words) for words in said if reviewer_name(words)]
    for one in names:
        if one in assigned:
            return one
    for one in names:  # "codex_cli_0.135" is codex
        if fits := [a for a in assigned if one.startswith(a)]:
            return fits[0]
    if names:
        return names[0]
    last = name.rpartition("_")[2].lower()
    agent = _AGENTS.search(last) or _AGENTS.search(name.replace("_", " ")) or _AGENTS.search(_title(document))
    if agent:
        return reviewer_name(agent[1])
    return assigned[0] if len(assigned) == 1 else last if request is None and "_" in name else "unknown"


def _asked(document: Document, files: list[tuple[Path, str | None]]) -> tuple[str, ...]:
    owners = [owner for _, owner in files if owner]
    return tuple(
        dict.fromkeys([*(reviewer_name(o) for o in owners), *(_assigned(_headers(document)) if not owners else ())])
    )


def _assigned(headers: dict[str, str]) -> tuple[str, ...]:
    said = next(
        (headers[key] for key in ("assigned reviewers", "assigned reviewer", "reviewers") if key in headers), ""
    )
    names = [reviewer_name(part) for part in _SPLIT.split(said)]
    return tuple(name for name in dict.fromkeys(names) if fields.optional(name))


def _headers(document: Document) -> dict[str, str]:
    found: dict[str, str] = {}
    for line, key, value in document.headers:
        if line < document.first_section or key in ("assigned reviewers", "assigned reviewer"):
            found.setdefault(key, one_line(value))
    return found


def _created(name: str, headers: dict[str, str]) -> str | None:
    said = next((headers[key] for key in ("date", "created", "reviewed at", "validated") if key in headers), "")
    stamp = fields.read_name(name).stamp
    return stamp if stamp and "T" in stamp else fields.date(said) or stamp


def _title(document: Document) -> str:
    heading = next((" ".join(h.title.split())[:2000] for h in document.headings if h.level == 1), "")
    return re.sub(
        r"^(?:\w+ )?review (?:request|response)\s*[:–-]\s*", "", one_line(plain(heading)), flags=re.IGNORECASE
    )


def _document(path: Path) -> Document:
    try:
        return Document(path.read_bytes())
    except OSError:
        return Document(b"")  # unreadable: no verdict, hence INVALID


def _is_text(path: Path) -> bool:
    return path.suffix.lower() in _TEXTS and not path.name.startswith(".") and not _NO_REVIEW.match(path.name)


def _files(folder: Path) -> list[Path]:
    found = [path for path in _entries(folder) if path.is_file() and _is_text(path)]
    return found + [path for inner in _entries(folder) if inner.is_dir() for path in _files(inner)]


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return []
