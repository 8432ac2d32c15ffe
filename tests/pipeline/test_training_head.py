"""Log-probabilities without logits and rows without padding: the same numbers and gradients as the plain way."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import Gemma3ForCausalLM, Gemma3TextConfig

from pipeline.trainers import flat, head
from pipeline.trainers.flat import Span, flatten, response_logps, use_rows
from pipeline.trainers.head import Head, token_logps
from tests.pipeline.model_tools import model

HEADS = {
    "plain": {},
    "with a bias": {"bias": torch.linspace(-1, 1, 5000)},
    "scaled": {"scale": 0.3},
    "capped": {"cap": 3.0, "scale": 2.0},
}


def plain(made: Head, hidden: Any, labels: Any) -> tuple[Any, Any]:
    """Log p of the labels and entropy, by all logits at once."""
    logits = hidden @ made.weight.T * made.scale + (0 if made.bias is None else made.bias * made.scale)
    if made.cap is not None:
        logits = made.cap * torch.tanh(logits / made.cap)
    logp = torch.log_softmax(logits, -1)
    return logp.gather(1, labels[:, None])[:, 0], -(logp.exp() * logp).sum(-1)


@pytest.mark.parametrize("name", HEADS)
def test_the_vocabulary_in_blocks_gives_the_plain_numbers_and_gradient(name: str) -> None:
    torch.manual_seed(0)
    made = Head(torch.randn(5000, 24), **HEADS[name])
    hidden, labels = torch.randn(700, 24), torch.randint(0, 5000, (700,))
    assert head.BLOCK_NUMBERS["cpu"] // 700 < 2500  # more than one block
    weights, grads, found = torch.randn(700), [], []
    for way in (lambda h: token_logps(made, h, labels)[:2], lambda h: plain(made, h, labels)):
        state = hidden.clone().requires_grad_()
        logps, entropies = way(state)
        (logps * weights).sum().backward()
        found.append((logps.detach(), entropies.detach()))
        grads.append(state.grad)
    assert torch.allclose(found[0][0], found[1][0], atol=1e-5)
    assert torch.allclose(found[0][1], found[1][1], atol=1e-4)
    assert torch.allclose(grads[0], grads[1], atol=1e-5)


def test_the_likeliest_token_is_known() -> None:
    torch.manual_seed(1)
    made, hidden = Head(torch.randn(3000, 8)), torch.randn(400, 8)
    best = (hidden @ made.weight.T).argmax(-1)
    other = (best + 1) % 3000
    assert token_logps(made, hidden, best)[2].all()
    assert not token_logps(made, hidden, other)[2].any()


def test_an_output_layer_that_is_trained_is_refused() -> None:
    weight = torch.randn(10, 4, requires_grad=True)
    with pytest.raises(ValueError, match="output layer is trained"):
        token_logps(Head(weight), torch.randn(2, 4), torch.tensor([1, 2]))


def windowed() -> Any:
    """Gemma 3's classes with random weights: layers that see five tokens back beside layers that see all."""
    torch.manual_seed(3)
    config = Gemma3TextConfig(
        vocab_size=300, hidden_size=32, intermediate_size=64, num_hidden_layers=4, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16, sliding_window=5,
        layer_types=["sliding_attention", "full_attention", "sliding_attention", "full_attention"],
    )  # fmt: skip
    return Gemma3ForCausalLM._from_config(config, attn_implementation="sdpa").eval()


def batch(pairs: bool) -> tuple[Any, Any, Any]:
    """Four rows of unlike length; with `pairs` the last two are other answers to the first two's prompts."""
    torch.manual_seed(4)
    prompts, answers = (9, 3, 9, 3), (4, 11, 7, 2)
    ids, attended, trained = (torch.zeros(4, 16, dtype=torch.long) for _ in range(3))
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        ids[row, : prompt + answer] = torch.randint(5, 250, (prompt + answer,))
        attended[row, : prompt + answer] = 1
        trained[row, prompt : prompt + answer] = 1
        if pairs and row >= 2:
            ids[row, :prompt] = ids[row - 2, :prompt]
    return ids, attended, trained


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("make", [model, windowed], ids=["tiny", "windowed"])
def test_rows_without_padding_never_see_each_other(make: Any, pairs: bool) -> None:
    """Each token's log-probability and the gradient at each weight, against every row alone and all its logits."""
    net, (ids, attended, trained) = make().requires_grad_(False), batch(pairs)
    watched = net.get_parameter("model.layers.0.self_attn.q_proj.weight").requires_grad_()
    alone = torch.zeros(4, 15)
    for row in range(4):
        length = int(attended[row].sum())
        logp = torch.log_softmax(net(ids[row : row + 1, :length]).logits[0, :-1].float(), -1)
        got = logp.gather(1, ids[row, 1:length, None])[:, 0]
        alone = alone.index_put((torch.tensor(row), torch.arange(length - 1)), got * trained[row, 1:length])
    (expected,) = torch.autograd.grad((alone * alone).sum(), watched)
    assert use_rows(net)
    logps = response_logps(net, ids, attended, trained, pairs)[0]
    (grad,) = torch.autograd.grad((logps * logps).sum(), watched)
    assert torch.allclose(logps, alone, atol=1e-4)
    assert torch.allclose(grad, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_a_pairs_prompt_goes_through_the_model_once() -> None:
    ids, attended, trained = batch(pairs=True)
    assert flatten(ids, attended, trained, pairs=False).ids.shape[1] == 48
    laid = flatten(ids, attended, trained, pairs=True)
    assert laid.ids.shape[1] == 48 - 9 - 3
    assert laid.spans.parts[2] == Span(27, 34, 0, 9)
    assert torch.equal(laid.ids[0][laid.where][attended.bool()], ids[attended.bool()])


def test_a_model_that_drops_the_spans_keeps_its_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without them a layer would look across rows; such a model is found out before it is trained."""
    net, (ids, attended, trained) = model().requires_grad_(False), batch(pairs=True)
    expected = response_logps(net, ids, attended, trained, pairs=True)[0]
    layer = net.model.layers[0].self_attn
    inside = layer.forward
    monkeypatch.setattr(layer, "forward", lambda *a, spans=None, **k: inside(*a, **k))
    assert not use_rows(net)
    assert net.config._attn_implementation == "sdpa"
    assert torch.equal(response_logps(net, ids, attended, trained, pairs=True)[0], expected)


def test_layers_with_a_state_keep_their_padding() -> None:
    net = model()
    net.config.layer_types = ["linear_attention", *["full_attention"] * (net.config.num_hidden_layers - 1)]
    assert not use_rows(net)
    assert not flat.by_rows(net)
