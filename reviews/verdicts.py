"""Which verdict a response states: approve, changes, reject, or INVALID when it states none.

A verdict stands on a line that says so ("Verdict: …", "Decision: …"), or opens the summary, the overall assessment or a
plain text. Words are read at the beginning only: "we could approve this if …" is none. A line that still offers
the choice ("GO / NO-GO / MODIFY") is a template that nobody filled in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from task_board.document import Document, one_line, plain

APPROVE, CHANGES, REJECT, INVALID = "approve", "changes", "reject", "INVALID"

# Order matters: the first that fits wins, so the longer and the negative phrases come first.
_VOCABULARY: tuple[tuple[str, str], ...] = (
    (APPROVE, r"no (?:blocking |major |critical |further )*(?:issues|problems|concerns|findings|blockers)"),
    (REJECT, r"(?:not|never|cannot be|can not be) (?:approved?|accepted?|ready|ok)"),
    (REJECT, r"(?:do not|don t|cannot|can not) (?:approve|accept|proceed|deploy|scale|merge|ship|go|run)"),
    (REJECT, r"disapproved?|no go|nogo|reject(?:ed)?|fail(?:ed|s)?|(?:major|critical|serious) (?:problems?|issues?)"),
    (REJECT, r"block(?:ed|er|ing)?|stop|abort|abandon|kill"),
    (CHANGES, r"(?:approved?|accepted?|go|pass|scale|proceed|ship it|ready) (?:only )?"
              r"(?:with|after|once|if|pending|subject to) "
              r"(?:the |some |required |minor |major |these |following |listed |all )*"
              r"(?:changes|modifications?|fix(?:es)?|conditions?|safeguards|revisions?|corrections?)"),
    (CHANGES, r"(?:approved?|go|pass|ready) (?:only )?(?:if|once|after|pending|subject to)|conditional(?:ly)?"),
    (CHANGES, r"changes? (?:requested|required|needed)|request(?:ed|s|ing)? changes"),
    (CHANGES, r"needs? (?:changes|work|revision|fixes|rework|attention)|(?:major |minor )?revis(?:e|ions?)"),
    (CHANGES, r"modify|modified|iterate|rework|pivot|warn(?:ing)?|minor (?:issues|problems)"),
    (CHANGES, r"(?:some |minor |several |\d+ )*(?:issues?|problems?|concerns) (?:found|identified|remain)"),
    (APPROVE, r"approve[ds]?|accept(?:ed|s)?|pass(?:ed|es)?|lgtm|looks good|ship it|go|scale|proceed|ready"),
)  # fmt: skip
_RULES = tuple((verdict, re.compile(rf"(?:{words})(?![\w])", re.IGNORECASE)) for verdict, words in _VOCABULARY)
_KEYS = re.compile(
    r"(?:[\w]+ )?(?:(?:overall|final|review|my) )*(?:verdict|decision|go no go(?: decision| verdict)?|go no go modify|"
    r"scale iterate(?: \w+)?|outcome|recommendation|conclusion)$"
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
_LINE = re.compile(r"[\s>*_#+|-]*(?P<key>[A-Za-z][A-Za-z /_-]{2,40}?)[\s*_`]*(?::|：|\|)[\s*_`]*(?P<value>.*)$")


@dataclass(frozen=True, slots=True)
class Verdict:
    """`value` is one of the four above; `words` are the reviewer's own, None when there are none."""

    value: str
    words: str | None = None


def read_verdict(document: Document) -> Verdict:
    """The first verdict that the response states."""
    document = unwrapped(document)
    for words in _stated(document):
        if (value := meaning(words)) is not None:
            return Verdict(value, one_line(words)[:160])
    return Verdict(INVALID)


def meaning(words: str) -> str | None:
    """approve, changes or reject for words that begin with one of the vocabulary; None for all others."""
    said = _normal(words)
    if _offers(words):
        return None
    for verdict, pattern in _RULES:
        if pattern.match(said):
            return verdict
    return None


def unwrapped(document: Document) -> Document:
    """A response that is one code fence from its first to its last line, as models like to answer: what is inside."""
    filled = [n for n, line in enumerate(document.lines) if line.strip()]
    if len(filled) > 2 and re.match(r"\s*(`{3,}|~{3,})\s*(?:markdown|md|text)?\s*$", document.lines[filled[0]]):
        last = document.lines[filled[-1]].strip()
        if set(last) in ({"`"}, {"~"}) and len(last) >= 3:
            inside = "\n".join(document.lines[filled[0] + 1 : filled[-1]])
            return Document(inside.encode("utf-8", "surrogateescape"))
    return document


def _stated(document: Document) -> list[str]:
    lines, found = document.lines, []
    open_lines = [n for n in range(len(lines)) if not document.fenced[n]]
    for number in open_lines:
        match = _LINE.match(lines[number]) if len(lines[number]) < 2000 else None
        if match and _KEYS.match(_normal(match["key"])):
            found.append(plain(match["value"]) or _after(document, number))
    heads = [h for h in document.headings if _KEYS.match(_normal(h.title))]
    found += [_after(document, heading.line) for heading in heads]
    found += [_after(document, h.line) for h in document.headings if _SECTIONS.match(h.title)]
    first = next((lines[n] for n in open_lines if lines[n].strip() and not lines[n].lstrip().startswith("#")), "")
    if _STRONG.match(_normal(first)) and not _ERROR.match(first):
        found.append(plain(first))
    return found


def _after(document: Document, line: int) -> str:
    """The next line with words, up to the next heading."""
    for number in range(line + 1, min(line + 12, len(document.lines))):
        text = document.lines[number]
        if re.match(r"\s*#{1,6}\s", text):
            return ""
        if re.search(r"\w", text):
            return plain(re.sub(r"^[\s>]*(?:[-*+]|\d+[.)])\s+", "", text))
    return ""


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
