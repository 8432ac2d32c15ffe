"""Reading requests and responses of every layout: who was asked, who has answered, with which verdict and findings.

Layouts: unified (`requests/`, or lanes such as `pending/`, and `responses/`, `archive/<cycle>/`), per reviewer
(`<reviewer>/{pending,in_progress,done,responses}`), and raw text files beside them. A response without a verdict is
INVALID and counts as no answer. Nothing here writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reviews.findings import SEVERITIES, Finding, read_findings
from reviews.verdicts import APPROVE, INVALID, read_verdict
from task_board import fields
from task_board.document import Document, one_line, plain
from task_board.reading import read_file

UNIFIED, PER_REVIEWER, ARCHIVE, RAW = "unified", "per-reviewer", "archive", "raw"
REQUEST_FOLDERS = ("pending", "in_progress", "done", "completed", "requests")
_TEXTS = {".md", ".markdown", ".txt", ".text", ""}
_NO_REVIEW = re.compile(r"(?:readme|.*template|index)\b", re.IGNORECASE)
_SPLIT = re.compile(r"[,;/&+\n]|\s+and\s+|\s+(?=@)")
_KIND = re.compile(r"(?:^|[_-])(?:review[_-])?(?:request|response)(?=[_-]|$)")
"""What a file's name says of its kind, and not of what it is about."""
_OLD = re.compile(r"[_-](?:old|previous|prev|superseded|draft|backup|bak)(?=[_.-]|$)", re.IGNORECASE)
_ASKED = ("assigned reviewers", "assigned reviewer", "requested reviewers", "reviewers")
_NOBODY = {"any", "anyone", "anybody", "unassigned"}
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
    lanes = ((path, None) for name in REQUEST_FOLDERS for path in _files(_inside(root, name)))
    _sort_in(group, lanes)
    folder = _inside(root, "responses")
    for path in _files(folder):
        inner = path.relative_to(folder).parts[:-1]
        group.answers.append((path, f"{inner[0]}/" if inner else None))
    return group


def _per_reviewer(root: Path, group: _Set) -> None:
    for folder in _entries(root):
        if not folder.is_dir() or folder.name.lower() in (*REQUEST_FOLDERS, "responses", "archive", "__pycache__"):
            continue
        _sort_in(group, ((path, folder.name) for name in REQUEST_FOLDERS for path in _files(_inside(folder, name))))
        group.answers += [(path, folder.name) for path in _files(_inside(folder, "responses"))]
        if any(_inside(folder, name).is_dir() for name in (*REQUEST_FOLDERS, "responses")):
            loose = [p for p in _entries(folder) if p.is_file() and _is_text(p)]
            group.answers += [(path, folder.name) for path in loose]


def _sort_in(group: _Set, files: Iterable[tuple[Path, str | None]]) -> None:
    """Files of request folders: an answer that was put beside its request, say in `done/`, stays an answer."""
    for path, owner in files:
        answers = "response" in path.name.lower() and read_verdict(_document(path)).value != INVALID
        (group.answers if answers else group.requests).append((path, owner))


def _inside(folder: Path, name: str) -> Path:
    """The folder of that name, in whatever case it is written."""
    if (folder / name).is_dir():
        return folder / name
    return next((path for path in _entries(folder) if path.name.lower() == name and path.is_dir()), folder / name)


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
        hint = (owner or "").removesuffix("/") if (owner or "").endswith("/") else None
        # `responses/<request>/<reviewer>.md`, or `responses/<reviewer>/<request>.md`
        name = hint if hint in requests else _belongs(path, document, list(requests))
        who = assigned.get(name or "", ())
        if hint is not None:
            owner = hint if reviewer_name(hint) in who or _AGENTS.fullmatch(hint) else None
        response = _response(path, owner, document, name, who)
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


def _natural(file: str) -> tuple[bool, list[str | int], str]:
    """Order of answers: `_9` before `_11`, `_old` before all others."""
    name = stem(Path(file).name)
    parts = re.split(r"([0-9]+)", name)
    return not _OLD.search(name), [int(part) if n % 2 else part for n, part in enumerate(parts)], file


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
        linked = re.search(r"\]\(([^()\s]+)\)?", headers.get(key, ""))
        said = stem((linked[1] if linked else plain(headers.get(key, ""))).rsplit("/", 1)[-1].split(" ")[0])
        if said in requests:
            return said
    if name in requests:
        return name
    # `a_b` must not take the answers to `a_b_c`.
    for form in (str, _subject):
        fits = (r for r in requests if re.match(re.escape(form(r)) + r"(?:[_.-]|$)", form(name)))
        if found := max(fits, key=len, default=None):
            return found
    return None


def _subject(name: str) -> str:
    """What a file is about, from its name: "REVIEW_REQUEST_gate" and "gate_response" are about "gate"."""
    return _KIND.sub("", name.lower()).strip("_-") or name.lower()


def _response(
    path: Path, owner: str | None, document: Document, request: str | None, assigned: tuple[str, ...]
) -> Response:
    verdict = read_verdict(document)
    who = _who(path, owner, document, request, assigned)
    return Response(who, verdict.value, verdict.words, str(path), read_findings(document))


def _who(path: Path, owner: str | None, document: Document, request: str | None, assigned: tuple[str, ...]) -> str:
    name = stem(path.name)
    tail = name.removeprefix(request).strip("_-.") if request and name != request else ""
    if request and tail == name:
        tail = _subject(name).removeprefix(_subject(request)).strip("_-.")
    tail = _KIND.sub("", _OLD.sub("", tail)).strip("_-.")
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
    """Whose folders hold the request, and whom it names."""
    owners = [reviewer_name(owner) for _, owner in files if owner]
    return tuple(dict.fromkeys([*owners, *_assigned(_headers(document))]))


def _assigned(headers: dict[str, str]) -> tuple[str, ...]:
    said = next((headers[key] for key in _ASKED if headers.get(key)), "")
    names: list[str] = []
    for part in _SPLIT.split(said):
        known = _AGENTS.findall(part.split("(")[0])
        names += [reviewer_name(name) for name in (known if len(known) > 1 else [part])]
    return tuple(name for name in dict.fromkeys(names) if fields.optional(name) and name not in _NOBODY)


def _headers(document: Document) -> dict[str, str]:
    found: dict[str, str] = {}
    for line, key, value in document.headers:
        if line < document.first_section or key in ("assigned reviewers", "assigned reviewer"):
            listed = [*([value] if value else []), *_listed(document, line, bool(value))] if key in _ASKED else [value]
            found.setdefault(key, one_line(", ".join(listed)))
    for heading in document.headings:
        key = heading.title.strip(" :*_").lower()
        if heading.level > 1 and key in _ASKED:
            first = next(
                (n for n in range(heading.line + 1, document.length) if document.lines[n].strip()), heading.line
            )
            if names := _listed(document, first - 1) or [plain(document.lines[first])]:
                found.setdefault(key, one_line(", ".join(names)))
    return found


def _listed(document: Document, line: int, named: bool = False) -> list[str]:
    """Names in the list right below a line; `named`: the line names somebody itself, so other headers may follow."""
    own = document.lines[line]
    deeper = len(own) - len(own.lstrip()) if re.match(r"\s*[-*+]\s", own) else -1
    found: list[str] = []
    for text in document.lines[line + 1 : line + 20]:
        match = re.match(r"(\s*)(?:[-*+]|\d+[.)])\s+(?:\[[ xX]\]\s+)?([^:]{1,60})(:.*)?$", text)
        if match is None or len(match[1]) <= deeper or (match[3] and (named or match[2].startswith("**"))):
            if text.strip() or found:
                break
            continue
        found.append(plain(re.split(r"\s+[–—-]\s+", match[2])[0]))
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
        return Document(read_file(path))
    except OSError:
        return Document(b"")  # unreadable, or far too long: no verdict, hence INVALID


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
