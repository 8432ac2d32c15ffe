"""The instruction check judges as its labelled texts say, reads loosely only what is looser, and its frozen prompts can
all be fulfilled."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.evals import ifeval, ifeval_items, items
from pipeline.evals.ifeval import IfevalScore, check, instructions, rates, variants
from pipeline.evals.ifeval import ifeval_items as frozen_items
from pipeline.evals.ifeval_checks import KINDS, follows, sentences, words
from pipeline.evals.ifeval_witness import witness
from pipeline.stages.base import Item

P = "Write a note about chess."
Labelled = tuple[dict[str, Any], tuple[str, ...], tuple[str, ...]]

LABELLED: dict[str, list[Labelled]] = {
    "keywords:existence": [
        ({"keywords": ["copper", "bridge"]}, ("A copper bridge.", "BRIDGES of Copper", "bridge\n\ncopper"),
         ("A copper roof.", "coppper bridge", "brid ge and copper")),
    ],
    "keywords:forbidden_words": [
        ({"forbidden_words": ["marble", "orchard"]}, ("A stone floor.", "Marbles roll.", "The orchards bloom."),
         ("Marble floors.", "an ORCHARD", "(marble)", "It was marble.")),
        ({"forbidden_words": ["c++"]}, ("Use c.",), ("Use C++ here.",)),
    ],
    "keywords:frequency": [
        ({"keyword": "signal", "frequency": 2, "relation": "at least"}, ("signal, Signal", "signals and SIGNALS"),
         ("one signal", "none at all")),
        ({"keyword": "signal", "frequency": 2, "relation": "less than"}, ("one signal", "nothing"), ("signal signal",)),
    ],
    "keywords:letter_frequency": [
        ({"letter": "k", "let_frequency": 3, "let_relation": "at least"}, ("kkk", "Kick the rock", "KkK"),
         ("kk", "nothing here", "Kick")),
        ({"letter": "k", "let_frequency": 1, "let_relation": "less than"}, ("nothing here",), ("Kick",)),
    ],
    "length_constraints:number_words": [
        ({"num_words": 4, "relation": "at least"}, ("one two three four", "a b c d e", "one, two; three - four"),
         ("one two three", "... !!! ??? ---")),
        ({"num_words": 4, "relation": "less than"}, ("one two three",), ("one two three four",)),
    ],
    "length_constraints:number_sentences": [
        ({"num_sentences": 2, "relation": "at least"}, ("One. Two.", "Really? Yes!", 'He said "no." Then he left.'),
         ("One.", "Dr. Smith came.", "It costs 3.50 in all.", "1. first point", "Wait... what")),
        ({"num_sentences": 2, "relation": "less than"}, ("No end at all", "Mr. A. Smith came."), ("One. Two.",)),
    ],
    "length_constraints:number_paragraphs": [
        ({"num_paragraphs": 2}, ("One.\n***\nTwo.", "One. *** Two.", "***\nOne.\n***\nTwo.\n***"),
         ("One.\n\nTwo.", "One.\n***\n***\nTwo.", "One.\n******\nTwo.", "One\n***\nTwo\n***\nThree")),
    ],
    "length_constraints:nth_paragraph_first_word": [
        ({"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "harvest"},
         ("One.\n\nHarvest time.", 'One.\n\n"harvest" it is.', "One.\n \nHARVEST"),
         ("Harvest.\n\nOne.", "One.\n\nHarvesting.", "One.\nHarvest.", "One.\n\nHarvest.\n\nThree.")),
    ],
    "detectable_content:number_placeholders": [
        ({"num_placeholders": 2}, ("[name] and [date]", "[a][b]", "[first name] [x] [y]"),
         ("[name]", "[] []", "[ ] [ ]", "(name) (date)", "[na\nme] [date]")),
    ],
    "detectable_content:postscript": [
        ({"postscript_marker": "P.S."}, ("Hi.\nP.S. Bye.", "Hi.\n\np.s. bye", "Hi.\nPS: bye", "Hi.\n**P. S.** bye"),
         ("Hi. P.S. Bye.", "Hi.\nP.S.", "Hi.\nP.P.S. Bye.", "Hi.\nPsst, bye.")),
        ({"postscript_marker": "P.P.S."}, ("Hi.\nP.P.S. Bye.",), ("Hi.\nP.S. Bye.",)),
    ],
    "detectable_format:number_bullet_lists": [
        ({"num_bullets": 2}, ("* a\n* b", "- a\n- b", "Here:\n  * a\n  * b\nDone."),
         ("* a", "* a\n* b\n* c", "*a*\n*b*", "1. a\n2. b", "***\n* a", "a * b * c")),
    ],
    "detectable_format:constrained_response": [
        ({}, ("My answer is yes.", "My answer is maybe.", '"My answer is no."'),
         ("Yes.", "my answer is yes", "My answer is yes. My answer is no.", "My answer is perhaps.")),
    ],
    "detectable_format:number_highlighted_sections": [
        ({"num_highlights": 2}, ("*a* and *b*", "**a** and *b*", "**one two** **three**"),
         ("*a*", "* a\n* b", "2 * 3 * 4", "***\n***", "** ** * *", "*a\nb* *c*")),
    ],
    "detectable_format:multiple_sections": [
        ({"section_spliter": "Part", "num_sections": 2}, ("Part 1\na\nPart 2\nb", "## PART 1\na\n## PART 2\nb",
         "**Part 1**\na\n**Part 2**\nb\nPart 3\nc"),
         ("Part 1\na", "Part one\na\nPart two\nb", "Part 1 and Part 2", "Part 1\na\nPart 1\nb",
          "Section 1\nSection 2")),
    ],
    "detectable_format:json_format": [
        ({}, ('{"a": 1}', "[1, 2]", '```json\n{"a": [true, null]}\n```', '```\n{"a": 1}\n```'),
         ("{a: 1}", '{"a": 1} and more', "5", '"text"', '{"a": NaN}', 'Here: {"a": 1}', "{'a': 1}")),
    ],
    "detectable_format:title": [
        ({}, ("<<A note>>\ntext", "text <<x>>", "**<<Chess>>**"), ("<A note>", "<<>>", "<< >>", "A note", "<<a\nb>>")),
    ],
    "combination:two_responses": [
        ({}, ("One.\n******\nTwo.", "One ****** Two", "a\n\nb\n******\nc"),
         ("One.\n***\nTwo.", "One.\n******\nOne.", "One.\n******\none. ", "******\nTwo.", "a******b******c", "One.")),
    ],
    "combination:repeat_prompt": [
        ({"prompt_to_repeat": P}, (f"{P} It is old.", f"\n{P.upper()}\nIt is old.", "Write a note\nabout chess. Fine."),
         ("It is old.", P, f"Sure: {P} It is old.", "Write a note on chess. It is old.")),
    ],
    "change_case:capital": [
        ({}, ("ALL OF IT.", "A1 B2!", "ÉTÉ"), ("ALL of IT.", "123", "All Of It")),
    ],
    "change_case:lowercase": [
        ({}, ("all of it.", "a1 b2!", "été"), ("All of it.", "123", "I am")),
    ],
    "change_case:capital_word_frequency": [
        ({"capital_frequency": 2, "capital_relation": "at least"}, ("VERY GOOD", "I AM here", "NASA's USA"),
         ("VERY good", "Very Good Indeed", "42 43 44")),
        ({"capital_frequency": 2, "capital_relation": "less than"}, ("VERY good", "none"), ("VERY GOOD",)),
    ],
    "startend:end_checker": [
        ({"end_phrase": "We shall see."}, ("Fine. We shall see.", "WE SHALL SEE.\n", '"Fine. We shall see."'),
         ("We shall see. Fine.", "We shall seem.", "We shall see. P.S. Bye", "We will see.")),
    ],
    "startend:quotation": [
        ({}, ('"All of it."', ' "a\nb" ', "“Curly.”"), ('"Half', 'None"', "'Single.'", '""', 'He said "no"', '"')),
    ],
    "punctuation:no_comma": [
        ({}, ("No such mark.", "a; b: c", "1.5 and 2"), ("a, b", "1,000", ",")),
    ],
}  # fmt: skip

CASES = [
    (kind, arguments, text, wanted)
    for kind, sets in LABELLED.items()
    for arguments, right, wrong in sets
    for wanted, texts in ((True, right), (False, wrong))
    for text in texts
]


def item(*stated: dict[str, Any], template: str = "task-0") -> Item:
    return Item("ifeval", template, P, "", {"instructions": list(stated)})


# --- verifiers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "arguments", "text", "wanted"), CASES)
def test_every_labelled_text_is_judged_as_labelled(
    kind: str, arguments: dict[str, Any], text: str, wanted: bool
) -> None:
    assert follows(kind, arguments, text) is wanted


def test_every_kind_has_six_labelled_texts_of_both_sorts() -> None:
    counts = Counter((kind, wanted) for kind, _, _, wanted in CASES)
    assert set(LABELLED) == set(KINDS) == set(ifeval_items.DRAWS) == set(ifeval_items.WORDINGS)
    for kind in KINDS:
        assert counts[kind, True] >= 2
        assert counts[kind, False] >= 2
        assert counts[kind, True] + counts[kind, False] >= 6, kind


@pytest.mark.parametrize("empty", ["", " ", "\n\n"])
def test_an_empty_text_follows_nothing(empty: str) -> None:
    for kind, sets in LABELLED.items():
        assert not follows(kind, sets[0][0], empty)
    assert not check(item({"kind": "punctuation:no_comma"}), empty).prompt_loose


def test_nonsense_is_refused_and_never_judged() -> None:
    with pytest.raises(KeyError):
        follows("language:response_language", {}, "text")
    with pytest.raises(TypeError):
        follows("length_constraints:number_words", {"words": 3}, "text")
    with pytest.raises(ValueError, match="about"):
        follows("length_constraints:number_words", {"num_words": 3, "relation": "about"}, "text")
    with pytest.raises(ValueError, match="paragraph 3 of 2"):
        follows(
            "length_constraints:nth_paragraph_first_word",
            {"num_paragraphs": 2, "nth_paragraph": 3, "first_word": "a"},
            "text",
        )
    with pytest.raises(ValueError, match="one letter"):
        follows("keywords:letter_frequency", {"letter": "kk", "let_frequency": 1, "let_relation": "at least"}, "text")


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=120), st.sampled_from(sorted(LABELLED)))
def test_any_text_is_judged_and_what_is_followed_strictly_is_followed_loosely(text: str, kind: str) -> None:
    for arguments, *_ in LABELLED[kind]:
        score = check(item({"kind": kind, **arguments}), text)
        assert not score.prompt_strict or score.prompt_loose


def test_sentences_and_words_are_counted_as_people_do() -> None:
    assert len(sentences("Dr. Who came at 5.30 p.m. today! Did he? Yes")) == 3
    assert sentences("...") == []
    assert len(sentences("Heading\n\nOne sentence.\n\n1. A point.\n2. Another point.")) == 4
    assert words("It's well-known: 3.5 %") == ["It", "s", "well", "known", "3", "5"]


# --- loose reading and rates -----------------------------------------------------------------------------------------


def test_the_loose_reading_has_eight_variants() -> None:
    assert list(variants("Sure!\n*a*\nBye.")) == [
        "Sure!\n*a*\nBye.", "Sure!\na\nBye.", "*a*\nBye.", "a\nBye.", "Sure!\n*a*", "Sure!\na", "*a*", "a",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("stated", "text"),
    [
        ({"kind": "detectable_format:json_format"}, 'Here it is:\n{"a": 1}'),
        ({"kind": "detectable_format:json_format"}, '{"a": 1}\nI hope this helps!'),
        ({"kind": "detectable_format:json_format"}, 'Sure:\n{"a": 1}\nBye.'),
        ({"kind": "startend:quotation"}, '**"All of it."**'),
        ({"kind": "punctuation:no_comma"}, "Sure, here you are:\nIt is fine."),
        ({"kind": "startend:end_checker", "end_phrase": "We shall see."}, "Fine. We shall see.\nAnything else?"),
    ],
)
def test_a_wrapped_answer_fails_strictly_and_passes_loosely(stated: dict[str, Any], text: str) -> None:
    score = check(item(stated), text)
    assert (score.prompt_strict, score.prompt_loose) == (False, True)


def test_a_prompt_is_followed_only_when_all_its_instructions_are() -> None:
    both = item({"kind": "punctuation:no_comma"}, {"kind": "change_case:lowercase"})
    assert check(both, "all small") == IfevalScore((True, True), (True, True))
    half = check(both, "Not small")
    assert half.instruction_strict == (True, False)
    assert not half.prompt_strict and not half.prompt_loose


def test_rates_count_prompts_instructions_and_kinds() -> None:
    comma, small = {"kind": "punctuation:no_comma"}, {"kind": "change_case:lowercase"}
    asked = [(item(comma, small, template="a"), "all small"), (item(comma, small, template="b"), "Not small"),
             (item(small, template="c"), "Sure.\nall small")]  # fmt: skip
    found = rates((one, check(one, text)) for one, text in asked)
    assert (found.prompts.strict, found.prompts.loose, found.prompts.asked) == (1, 2, 3)
    assert (found.instructions.strict, found.instructions.loose, found.instructions.asked) == (3, 4, 5)
    assert found.kinds["change_case:lowercase"].as_dict().items() >= {"strict": 1, "loose": 2, "asked": 3}.items()
    assert found.prompts.low < 1 / 3 < found.prompts.high
    none = rates([])
    assert (none.prompts.asked, none.prompts.low, none.prompts.high) == (0, 0.0, 1.0)


# --- prompts ---------------------------------------------------------------------------------------------------------


def test_the_frozen_prompts_are_what_their_code_makes_byte_for_byte() -> None:
    built = ifeval_items.build(ifeval_items.FROZEN_COUNT, items.FROZEN_SEED)
    assert ifeval.frozen_path().read_bytes() == items.dump(built)
    assert frozen_items(len(built)) == built
    assert frozen_items(7) == built[:7]
    with pytest.raises(items.ItemsError, match="ask for fewer"):
        frozen_items(len(built) + 1)


def test_every_frozen_prompt_can_be_fulfilled_and_a_lazy_answer_does_not_do() -> None:
    lazy: Counter[bool] = Counter()
    for one in frozen_items(ifeval_items.FROZEN_COUNT):
        assert check(one, one.answer).prompt_strict, one.instruction
        assert check(one, one.answer).prompt_loose
        lazy[check(one, "Yes, that is so.").prompt_loose] += 1
    assert lazy[True] < ifeval_items.FROZEN_COUNT / 8  # "do not use ...", "fewer than ..." are met by nearly anything


def test_the_frozen_prompts_are_different_mixed_and_cover_every_kind() -> None:
    chosen = frozen_items(ifeval_items.FROZEN_COUNT)
    assert len({one.instruction for one in chosen}) == len(chosen) >= 200
    sizes = Counter(len(instructions(one)) for one in chosen)
    assert sizes == {1: 80, 2: 80, 3: 80}
    kinds = Counter(kind for one in chosen for kind, _ in instructions(one))
    assert set(kinds) == set(KINDS)
    assert min(kinds.values()) >= 15
    assert len({one.template for one in chosen}) >= 16
    for one in chosen:
        stated = [kind for kind, _ in instructions(one)]
        assert ifeval_items.compatible(stated)
        assert len(set(stated)) == len(stated)
        assert "{" not in one.instruction.replace('{"', "")
    assert {len(instructions(one)) for one in chosen[:12]} == {1, 2, 3}  # a short run sees them all


def test_the_same_seed_gives_the_same_prompts_and_another_seed_others() -> None:
    first, again, other = (items.dump(ifeval_items.build(30, seed)) for seed in (7, 7, 8))
    assert first == again
    assert first != other


def test_freezing_keeps_an_existing_block(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "ifeval.block-0.jsonl"
    monkeypatch.setattr(ifeval_items, "frozen_path", lambda: path)
    path.write_text("kept")
    assert ifeval_items.main(["freeze"]) == 0
    assert path.read_text() == "kept"
    assert "--replace" in capsys.readouterr().err
    assert ifeval_items.main(["freeze", "--replace"]) == 0
    assert len(items.load(path)) == ifeval_items.FROZEN_COUNT


def test_a_witness_is_made_for_whatever_is_drawn() -> None:
    rng = random.Random(4)
    for kind, draw in ifeval_items.DRAWS.items():
        for _ in range(10):
            stated = {"kind": kind, **draw(rng, P)}
            assert check(item(stated), witness([stated])).prompt_strict, stated


def test_the_fingerprint_names_version_and_sources() -> None:
    version, _, digest = ifeval.fingerprint().partition(":")
    assert version.isdigit()
    assert len(digest) == 64
