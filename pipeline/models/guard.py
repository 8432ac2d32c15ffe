"""The completion-mode guard: no chat template, no chat marker, checked by token id on everything that is encoded.

Text cannot be trusted here: a literal `<end_of_turn>` inside an answer becomes the special id even without special
tokens being added, and a tokenizer may carry a template that some library applies unasked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pipeline.models.errors import ModelError


class MarkerError(ModelError):
    """A chat marker (or another special token) is inside text that should be plain."""


def strip_template(tokenizer: Any) -> None:
    """Remove the chat template, so that nothing can apply it."""
    tokenizer.chat_template = None


def forbidden_ids(tokenizer: Any) -> frozenset[int]:
    """Special ids that may occur in no prompt and no answer: the tokenizer's own, minus EOS, BOS and PAD."""
    special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    special |= {i for i, token in tokenizer.added_tokens_decoder.items() if looks_like_turn(str(token))}
    allowed = {tokenizer.eos_token_id, tokenizer.bos_token_id, tokenizer.pad_token_id}
    return frozenset(special - allowed)


def looks_like_turn(token: str) -> bool:
    """Whether a token's text is that of a chat format's turn marker, declared special or not."""
    return any(word in token for word in ("turn", "im_start", "im_end", "header_id", "eot"))


def check_plain(ids: Sequence[int], forbidden: Iterable[int], eos: int, bos: int | None, what: str) -> None:
    """Raise when `ids` hold a marker, an EOS, or a BOS anywhere but at the front.

    Raises:
        MarkerError: names what was encoded and the offending id.
    """
    bad = (set(ids) & set(forbidden)) | ({eos} & set(ids))
    if bos is not None and bos != eos and bos in ids[1:]:
        bad.add(bos)
    if bad:
        raise MarkerError(
            f"{what} holds the special token ids {sorted(bad)}", "plain text only: a base model has no chat format"
        )
