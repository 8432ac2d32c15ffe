"""Quality numbers of a data set: every limit can be breached, and nothing measured is never a pass."""

from __future__ import annotations

import pytest

from pipeline.data.filters import Sample, Thresholds, banned_in, check, markers_in, measure, unique_rate

GOOD = [Sample(f"Repeat the word number {index}", f"word {index}", "eos") for index in range(100)]


def breaches(generated, kept):
    return [breach.name for breach in check(measure(generated, kept), Thresholds())]


def test_clean_data_breaches_nothing():
    assert breaches(GOOD, GOOD) == []


def test_every_limit_can_be_breached_alone():
    bad = Sample("Repeat this word please", "fine\nInstruction: next", "eos")
    assert breaches([*GOOD, *[bad] * 6], GOOD) == ["runaway_rate"]
    assert breaches([*GOOD, *[Sample("Repeat it", "so", "length")] * 12], GOOD) == ["length_limit_rate"]
    assert breaches(GOOD, [*GOOD, GOOD[0], GOOD[1]]) == ["unique_rate"]
    assert breaches(GOOD, GOOD[:49]) == ["acceptance"]
    for response, name in (("a <eos>", "markers"), ("[insert name]", "banned"), ("...", "empty")):
        assert breaches(GOOD, [*GOOD[:-1], Sample(GOOD[-1].instruction, response, "eos")]) == [name]
    assert breaches(GOOD, [*GOOD[:-1], Sample(GOOD[-1].instruction, "cut", "length")]) == ["truncated"]


def test_an_empty_set_is_a_breach_and_its_rates_are_unknown():
    quality = measure([], [])
    assert quality.unique_rate is None
    assert quality.runaway_rate is None
    found = check(quality, Thresholds())
    assert "unique_rate" in [breach.name for breach in found]
    assert "not measured" in str(found[0])


def test_a_breach_names_number_and_limit():
    breach = check(measure(GOOD, [*GOOD, GOOD[0], GOOD[1]]), Thresholds())[0]
    assert str(breach) == "unique_rate is 0.9804, the limit is 0.99"


@pytest.mark.parametrize(
    "text", ["Instruction: x", "a\nResponse: b", "<|im_end|>", "<end_of_turn>", "[INST]", "### Next"]
)
def test_markers_are_found(text):
    assert markers_in(text)


@pytest.mark.parametrize("text", ["The instruction was clear.", "a < b and b > c", "C# is a language", "<b>bold</b>"])
def test_ordinary_text_is_no_marker(text):
    assert not markers_in(text)


def test_placeholders_are_found_at_word_boundaries_only():
    assert banned_in("Lorem ipsum dolor") == "lorem ipsum"
    assert banned_in("As an AI language model, I cannot") == "as an ai language model"
    assert banned_in("He sat between two placeholders.") is None
    assert banned_in("A tbdx is nothing.") is None


def test_unique_rate_counts_normalised_texts():
    assert unique_rate(["A b.", "a B", "c"]) == pytest.approx(2 / 3)
    assert unique_rate([]) is None
