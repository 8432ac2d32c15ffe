"""A stand-in for a guard model: a one-layer Llama whose weights are set by hand, in the family's own format.

It attends evenly to its whole prompt and says unsafe where a bad word stands in it: S1 for poison, S2 for bomb. Like
the real ones it knows header tokens and ends its texts with a chat marker.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

WORDS = ("<unk>", "safe", "unsafe", "\n", "\n\n", "S1", "S2", "poison", "bomb")
HEADERS = ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
DIM = 16
EVIDENCE = {"poison": 13, "bomb": 14}  # word -> the dimension in which it is noticed
CODES = {"S1": 13, "S2": 14}
GAIN = 400.0  # one word among some hundred tokens weighs as much as the last token
POLICY = ("S1: Poisoning.", "S2: Explosives.")


def write_guard(folder: Path, headers: bool = True) -> Path:
    """Save the stand-in. Without headers it is like the family's first generation, which has none."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = _tokenizer(headers)
    ids = tokenizer.get_vocab()
    config = LlamaConfig(
        vocab_size=len(ids), hidden_size=DIM, intermediate_size=2, num_hidden_layers=1, num_attention_heads=1,
        num_key_value_heads=1, max_position_embeddings=4096, tie_word_embeddings=False, bos_token_id=None,
        eos_token_id=ids[tokenizer.eos_token], pad_token_id=ids["<unk>"],
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        _set(model, ids, ids["\n\n"] if headers else ids["]"], ids[tokenizer.eos_token])
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _tokenizer(headers: bool) -> Any:
    """Words, line ends and single characters; whatever is not in the list above is unknown."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = (*WORDS, "]")
    raw = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Split(Regex(r"\n\n|\w+|[\s\S]"), "isolated")
    raw.decoder = decoders.Fuse()
    if headers:
        raw.add_special_tokens(list(HEADERS))
    else:
        raw.add_special_tokens(["</s>"])
    return PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|eot_id|>" if headers else "</s>")


def _set(model: Any, ids: dict[str, int], asked: int, end: int) -> None:
    """`asked` is the token that ends a prompt. One dimension a known token; unknown ones share the last."""
    for parameter in model.parameters():
        parameter.zero_()
    place = {ids[word]: k for k, word in enumerate(WORDS[1:])} | {end: 11}
    place.setdefault(asked, 12)
    embedding, head = model.model.embed_tokens.weight, model.lm_head.weight
    for token in range(embedding.shape[0]):
        embedding[token, place.get(token, DIM - 1)] = 1.0
    layer = model.model.layers[0]
    for norm in (layer.input_layernorm, layer.post_attention_layernorm, model.model.norm):
        norm.weight.fill_(1.0)
    for word, noticed in EVIDENCE.items():
        layer.self_attn.v_proj.weight[noticed, place[ids[word]]] = GAIN
        layer.self_attn.o_proj.weight[noticed, noticed] = 1.0
        head[ids["unsafe"], noticed] = 3.0
    follows = {ids["unsafe"]: ids["\n"], ids["safe"]: end, ids["S1"]: end, ids["S2"]: end}
    for before, after in follows.items():
        head[after, place[before]] = 1000.0
    head[ids["safe"], place[asked]] = 1000.0
    head[ids["unsafe"], place[asked]] = 997.0  # safe, unless there is evidence
    for code, noticed in CODES.items():
        head[ids[code], place[ids["\n"]]] = 1000.0
        head[ids[code], noticed] += 1.0
