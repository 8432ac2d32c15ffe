"""Which verdict a response states: approve, changes, reject, or INVALID when it states none.

Lines that say so decide ("Verdict: …", "Decision: …"). Only without one does a recommendation, the summary, the overall
assessment or the opening of a plain text. Words are read at the beginning only: "we could approve this if …" is none.
An approval must stay one: what follows it is read for what takes it back, and then, or when two statements differ, it
is changes. A line that still offers the choice ("GO / NO-GO / MODIFY") is a template that nobody filled in, and of
boxes to tick only the ticked ones count. What is quoted, struck out or in a comment is nobody's verdict.
"""

from __future__ import annotations

import itertools
import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass

from task_board.document import Document, one_line, plain

APPROVE, CHANGES, REJECT, INVALID = "approve", "changes", "reject", "INVALID"

_LONGEST = 2000
"""Characters of a line that are read."""
_MILDLY = r"with(?:out)? (?:(?:minor|small|some|few|further|any|no) )*(?:notes?|remarks?|comments?|suggestions?|nits?)"
_ONWARDS = r"(?:the )?(?:next )?(?:stage|step|run|training|deploy(?:ment)?|launch|merge|release|\d)"

# Order matters: the first that fits wins, so the longer and the negative phrases come first.
_VOCABULARY: tuple[tuple[str, str], ...] = (
    (APPROVE, r"no (?:blocking |major |critical |further )*(?:issues|problems|concerns|findings|blockers)"),
    (REJECT, r"(?:not|never|cannot be|can not be) (?:yet )?(?:approved?|accept(?:ed)?|ready|ok)"),
    (REJECT, r"(?:do not|don t|cannot|can not) (?:approve|accept|proceed|deploy|scale|merge|ship|go|run)"),
    (REJECT, r"disapproved?|nack|no go|nogo|reject(?:ed)?|fail(?:ed|s)?|"
             r"(?:major|critical|serious) (?:problems?|issues?)"),
    (REJECT, r"block(?:ed|er|ing)?|stop|abort|abandon|kill"),
    (CHANGES, r"(?:approved?|accept(?:ed)?|go|pass|scale|proceed|ship it|ready) (?:only )?"
              r"(?:with|after|once|if|pending|subject to) "
              r"(?:the |some |required |minor |major |these |following |listed |all )*"
              r"(?:changes|modifications?|fix(?:es)?|conditions?|safeguards|revisions?|corrections?)"),
    (CHANGES, r"(?:approved?|go|pass|ready) (?:only )?(?:if|once|after|pending|subject to)|conditional(?:ly)?"),
    (CHANGES, r"changes? (?:requested|required|needed)|request(?:ed|s|ing)? changes"),
    (CHANGES, r"needs? (?:changes|work|revision|fixes|rework|attention)|(?:major |minor )?revis(?:e|ions?)"),
    (CHANGES, r"modify|modified|iterate|rework|pivot|warn(?:ing)?|minor (?:issues|problems)"),
    (CHANGES, r"(?:some |minor |several |\d+ )*(?:issues?|problems?|concerns) (?:$|found|identified|remain)"),
    (APPROVE, r"(?:i |we |strong(?:ly)? )?approve[ds]?|lgtm|looks good|ship it|go ahead"),
    # Words of everyday prose ("Scale of the data …", "Pass@1 fell …"): a verdict only when they stand alone.
    (APPROVE, rf"(?:accept(?:ed|s)?|pass(?:ed|es)?|go|scale|proceed|ready|ok|ack)"
              rf"(?=$|\|| (?:as it is|as is|for now)$| {_MILDLY}| (?:to|for|with) {_ONWARDS})"),
)  # fmt: skip
_RULES = tuple((verdict, re.compile(rf"(?:{words})(?![\w])", re.IGNORECASE)) for verdict, words in _VOCABULARY)
_KEYS = re.compile(
    r"(?!(?:previous|prior|earlier|former|last|old|expected|possible|their|your) )(?:[\w]+ )?"
    r"(?:(?:overall|final|review|my) )*(?:verdict|decision|go no go(?: decision| verdict)?|go no go modify|"
    r"scale iterate(?: \w+)?)$"
)
_WEAK_KEYS = re.compile(
    r"(?:[\w]+ )?(?:(?:overall|final|review|my) )*(?:outcome|recommendation|conclusion)$|go no go recommendation$"
    r"|(?:(?:overall|final|review|my) )*assessment$|overall$"
)
_SECTIONS = re.compile(
    r"\W*(?:executive )?(?:summary|overall assessment|assessment|conclusion|final thoughts)\b", re.IGNORECASE
)
_STRONG = re.compile(
    r"(?:not approved?|approved?|lgtm|rejected?|no go|request(?:ed)? changes|changes requested|issues found|ship it)\b",
    re.IGNORECASE,
)
_ERROR = re.compile(
    r"\W*(?:error|traceback|fatal|exception|usage:|http [45]\d\d|\w*error:|warning: |bash:|sh:|npm )", re.IGNORECASE
)
_BEFORE = (
    r"(?:[\s*_#+|=\[-]|[^\x00-\x7f\w“”„‟«»‘’‚‛‹›])*+(?:\d+[.)]\s+)?[\s*_]*(?i:(?:update|edit)\b[^:]{0,20}:[\s*_]*)?"
)
"""Emphasis, list marks, emoji: no quotation marks, since what is quoted was said by somebody else."""
_LINES = tuple(
    re.compile(rf"{_BEFORE}(?P<key>[A-Za-z][A-Za-z /_-]{{2,40}}?){between}[\s*_`]*(?P<value>.*)$")
    for between in (r"[\s*_`]*(?::|：|\|)", r"(?:[*_`]*\s[*_`]*[–—=→➜-]+\s|\][*_]*\s)")
)
_BOX = re.compile(r"\[\s?([xX✓✔✅]?)\s?\]|([☐☑☒])")
_BESIDE = frozenset(
    {"reviewer", "model", "confidence", "date", "commit", "score", "rating", "notes", "summary", "recipe"}
)
"""Columns of a table that says a reviewer's verdict; other tables say which check or finding has come out how."""
_CLAUSE = re.compile(r"[.,;:!?]+(?=\s|$)|\s[–—-]+\s|[()\[\]]")
_STRUCK = re.compile(r"~~.*?~~")
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_HARMLESS = re.compile(
    r"\b(?:(?:all|every|each)(?: (?:the|prior|previous|earlier|other|blocking|major|critical|high|medium|low|minor))* "
    r"(?:issues?|problems?|concerns?|findings?|blockers?|bugs?)(?: (?:is|are|were|was|has|have|been|now))* "
    r"(?:resolved|fixed|addressed|closed|mended)"
    r"|(?:no|without|zero|0)(?: (?:any|further|remaining|other|open|known|new|outstanding|blocking|major|critical|"
    r"serious|high|medium|low|minor|severe|or|and))* (?:issues?|problems?|concerns?|findings?|blockers?|bugs?|errors?|"
    r"changes?|fix(?:es)?|modifications?|objections?|comments?|notes?|remarks?|failures?|regressions?|reservations?)"
    r"|(?:non|not|nothing|none) (?:blocking|critical|major|serious|wrong|to fix)"
    r"|(?:no|none) (?:critical|major|blocking)|(?:minor|small) (?:issues?|problems?|fixes))\b"
)
_DOUBT = re.compile(
    r"\b(?:but|however|although|except|unless|until|if|once|after|only|provided|pending|conditional(?:ly)?|subject|must|"
    r"not?|never|cannot|(?:can|don|doesn|didn|isn|aren|won|wouldn|shouldn|couldn) t|too|needs?|requires?|missing|fix|"
    r"problems?|unsafe|dangerous|wrong|incorrect|withdrawn|revoked|retracted|"
    r"reservations?|caveats?|exceptions?|conditions?|disagrees?|premature|minus|modulo|address|hold|wait|should|refused|"
    r"example)\b"
)
_REFUSAL = re.compile(
    r"\b(?:(?:do not|don t|cannot|can t|must not|never) (?:approve|accept|proceed|deploy|scale|merge|ship|go|run|start|"
    r"launch|use|train)|not (?:approved?|accepted?|ready|ok)|no go|"
    r"reject(?:ed|s)?|disapproved?|fail(?:s|ed|ing|ures?)?|block(?:s|ed|ers?|ing)?|"
    r"abort|critical|major|serious|severe|bugs?|broken|however|disagrees?|premature|unsafe|waste[sd]?|refused|"
    r"should change|changes? (?:requested|required|needed))\b"
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`value` is one of the four above; `words` are the reviewer's own, None when there are none."""

    value: str
    words: str | None = None


def read_verdict(document: Document) -> Verdict:
    """The verdict that the response states: its verdict lines', else that of its other statements."""
    document = unwrapped(document)
    explicit = _explicit(document)
    read = [(value, words) for words in explicit or _implied(document) if (value := meaning(words)) is not None]
    values = {value for value, _ in read}
    if not values:
        return Verdict(INVALID)
    if len(values) == 1:
        return Verdict(read[0][0], one_line(read[0][1])[:160])
    said = "; ".join(dict.fromkeys(one_line(words)[:70] for _, words in read))[:160]
    return Verdict(CHANGES if APPROVE in values else REJECT, said)


def meaning(words: str) -> str | None:
    """approve, changes or reject for words that begin with one of the vocabulary; None for all others."""
    words = _STRUCK.sub(" ", words)
    if _offers(words):
        return None
    # The ends of clauses are kept as "|" for an approval: a word that must stand alone may end there.
    clauses, said = "|".join(map(_normal, _CLAUSE.split(words))).strip("|"), _normal(words)
    for verdict, pattern in _RULES:
        if match := pattern.match(clauses if verdict == APPROVE else said):
            return CHANGES if verdict == APPROVE and _taken_back(words, match[0]) else verdict
    return None


def _taken_back(words: str, approval: str) -> bool:
    """Does what comes after the approval say otherwise? Doubt counts in its own sentence, a refusal everywhere."""
    first, _, later = (re.sub(r"[.!?]+(?=\s|$)", " . ", words)).partition(" . ")
    rest = _HARMLESS.sub(" ", _normal(first).removeprefix(approval))
    asks = "?" in words.split(".")[0]
    return bool(
        asks or _DOUBT.search(rest) or _REFUSAL.search(rest) or _REFUSAL.search(_HARMLESS.sub(" ", _normal(later)))
    )


def unwrapped(document: Document) -> Document:
    """A response that is one code fence from its first to its last line, as models like to answer: what is inside."""
    filled = [n for n, line in enumerate(document.lines) if line.strip()]
    if len(filled) > 2 and re.match(r"(`{3,}|~{3,}) ?(?:markdown|md|text)?$", _blanks(document.lines[filled[0]])):
        last = document.lines[filled[-1]].strip()
        if set(last) in ({"`"}, {"~"}) and len(last) >= 3:
            inside = "\n".join(document.lines[filled[0] + 1 : filled[-1]])
            return Document(inside.encode("utf-8", "surrogateescape"))
    return document


def _explicit(document: Document) -> list[str]:
    """What stands on verdict lines and below headings that say so; an empty one counts as said, and says nothing."""
    mine = _own(document)
    return _keyed(document, mine, _KEYS) + _below(document, mine, lambda title: _KEYS.match(_normal(title)))


def _implied(document: Document) -> list[str]:
    """Recommendations, summaries, and the first line. An indented recommendation belongs to a finding."""
    mine = _own(document)
    found = _keyed(document, [n for n in mine if not document.lines[n].startswith(("  ", "\t"))], _WEAK_KEYS)
    found += _below(document, mine, lambda title: _WEAK_KEYS.match(_normal(title)) or _SECTIONS.match(title))
    first = next(
        (n for n in mine if document.lines[n].strip() and not document.lines[n].lstrip().startswith("#")), None
    )
    opening = "" if first is None else document.lines[first][:_LONGEST]
    if _STRONG.match(_normal(opening)) and not _ERROR.match(opening):
        found.append(plain(opening))
    return found


def _own(document: Document) -> list[int]:
    """Lines that the reviewer says: neither in a fence, nor quoted, nor in a comment."""
    mine, hidden = [], set()
    text = document.body
    for match in _COMMENT.finditer(text):
        begin = text.count("\n", 0, match.start())
        hidden |= set(range(begin, begin + match[0].count("\n") + 1))
    for number, line in enumerate(document.lines):
        if not document.fenced[number] and number not in hidden and not line.lstrip(" \t*-+").startswith(">"):
            mine.append(number)
    return mine


def _keyed(document: Document, mine: list[int], keys: re.Pattern[str]) -> list[str]:
    found = []
    for number in mine:
        line = document.lines[number][:_LONGEST]
        matches = (pattern.match(line) for pattern in _LINES)
        match = next((m for m in matches if m and keys.match(_normal(m["key"]))), None)
        if match is None:
            found += _column(document, number, keys)
        elif line.lstrip().startswith("|") and meaning(plain(match["value"])) is None:
            found += _column(document, number, keys) or [""]
        elif plain(match["value"]):
            found += _ticked(plain(match["value"]))
        else:
            found += _after(document, number, mine)
    return found


def _below(document: Document, mine: list[int], wanted: Callable[[str], object]) -> list[str]:
    own = set(mine)
    heads = [h.line for h in document.headings if h.line in own and wanted(h.title[:_LONGEST])]
    return [words for line in heads for words in _after(document, line, mine)]


def _column(document: Document, number: int, keys: re.Pattern[str]) -> list[str]:
    """What stands below a column head of that name, in a table that says nothing but who gave which verdict."""
    lines = document.lines[number : number + 20]
    if len(lines) < 3 or not lines[0].lstrip().startswith("|") or not re.fullmatch(r"[\s|:-]*-[\s|:-]*", lines[1]):
        return []
    heads = [_normal(cell) for cell in _cells(lines[0])]
    at = next((n for n, head in enumerate(heads) if keys.match(head)), None)
    if at is None or {head for n, head in enumerate(heads) if n != at} - _BESIDE:
        return []
    rows = [_cells(line) for line in itertools.takewhile(lambda line: line.lstrip().startswith("|"), lines[2:])]
    return [plain(row[at]) for row in rows if len(row) > at]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line[:_LONGEST].strip().strip("|").split("|")]


def _ticked(text: str) -> list[str]:
    """Of words beside boxes those whose box is ticked, `""` when none is; a text without boxes as it is."""
    marks = list(_BOX.finditer(text))
    if not marks:
        return [text]
    ends = [*(mark.start() for mark in marks), len(text)]
    if re.search(r"\w", text[: ends[0]]):  # each box stands behind its words
        starts = [0, *(mark.end() for mark in marks)]
        if re.search(r"\w", text[starts[-1] :]):
            return [text]
        words = [text[a:b] for a, b in zip(starts, ends, strict=True)]
    else:
        words = [text[mark.end() : end] for mark, end in zip(marks, ends[1:], strict=True)]
    return [plain(said) for said, mark in zip(words, marks, strict=False) if mark[1] or (mark[2] or "☐") != "☐"] or [""]


def _after(document: Document, line: int, mine: list[int]) -> list[str]:
    """The next line with words, up to the next heading; of a list of boxes every ticked one."""
    begin = bisect_right(mine, line)
    boxes: list[str] = []
    for number in mine[begin : begin + 12]:
        text = document.lines[number][:_LONGEST]
        if number > line + 12 or re.match(r"\s*#{1,6}\s", text):
            break
        if not re.search(r"\w", text):
            continue
        said = re.sub(r"^\s*(?:[-*+]|\d+[.)])\s+", "", text)
        if not _BOX.match(said):
            if boxes:
                break
            return [words for part in _ticked(plain(said)) for words in (part, *_beside(document, number))]
        boxes.append(said)
    return [words for box in boxes for words in _ticked(box) if words] or [""]


def _beside(document: Document, number: int) -> list[str]:
    """Further verdicts right below one: a list of what may be chosen, of which nothing was."""
    lines = itertools.takewhile(str.strip, (line[:_LONGEST] for line in document.lines[number + 1 : number + 7]))
    said = (plain(re.sub(r"^\s*(?:[-*+]|\d+[.)])\s+", "", line)) for line in lines)
    return [words for words in said if len(words) < 60 and meaning(words) is not None]


def _blanks(text: str) -> str:
    """Runs of blanks as one: what a pattern may try in many ways is short."""
    return " ".join(text.split())


def _normal(text: str) -> str:
    """Small letters and single blanks: emphasis, emoji and dashes are gone."""
    return " ".join(re.sub(r"[^a-z0-9]+", " ", text.lower().replace("_", " ")).split())


def _offers(words: str) -> bool:
    """Is it a choice between verdicts rather than one of them?"""
    parts = [part for part in re.split(r"[/|]|\bor\b", words.split(".")[0]) if part.strip()]
    if len(parts) < 2:
        return False
    named = {v for part in parts for v, pattern in _RULES if pattern.match(_normal(part))}
    return len(named) > 1
