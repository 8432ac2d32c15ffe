"""Rows are validated, tied to their content by id, written whole, and readable by `datasets`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import records as r

BASE: dict[str, Any] = {"stage": 1, "family": "copy", "seed": 7, "model": "ab" * 32, "parents": ("0011223344556677",)}
SAMPLED = {**BASE, "decoding": r.canonical({"temperature": 0.7, "max_new_tokens": 16})}
WRITTEN: dict[str, Any] = {
    **SAMPLED,
    "prompt": "Instruction: Say hi.\nResponse:",
    "text_raw": " hi\n\nQ",
    "text": "hi",
    "finish_reason": "stop",
    "tokens": 3,
}


def one_of_each() -> list[r.Record]:
    judged = {"instruction": "Say hi.", "response": "hi"}
    return [
        r.Instruction.make(**WRITTEN, instruction="Say hi.", rejected="near-duplicate"),
        r.Answer.make(**WRITTEN, instruction="Say hi.", sample=0, principles=("clear",), mean_logprob=-0.4),
        r.Critique.make(**WRITTEN, **judged, principle="clear"),
        r.Revision.make(**WRITTEN, **judged, principle="clear", round=2),
        r.Judgement.make(
            **SAMPLED, **judged, prompts=("p1", "p2"), principle=None, orders=("0:A", "0:B"),
            logp_a=(-0.5, -1.5), logp_b=(-1.0, -0.7), margin=0.65, mean_logprob=-0.4, agreement=0.75,
        ),
        r.SftRow.make(**SAMPLED, prompt="Instruction: Say hi.\nResponse:", completion=" hi", instruction="Say hi."),
        r.RejectedRow.make(**SAMPLED, instruction="Say hi.", response="", reason="empty"),
        r.Pair.make(
            **SAMPLED, prompt="Instruction: Say hi.\nResponse:", chosen=" hi", rejected=" ho", instruction="Say hi.",
            source="corruption:near_miss", chosen_known_right=True, rejected_known_right=False,
        ),
        r.EvalResult.make(
            **WRITTEN, item="a1", template="t1", condition="tuned", instruction="Say hi.", strict=False,
            strict_reason="runaway", lenient=True, lenient_reason="right", scorer="1:beef",
        ),
    ]  # fmt: skip


@pytest.mark.parametrize("record", one_of_each(), ids=lambda record: type(record).__name__)
class TestEveryKind:
    def test_survives_the_round_trip_through_a_file(self, record: r.Record, tmp_path: Path) -> None:
        path = tmp_path / "rows.jsonl"
        assert r.write_records(path, [record]) == 1
        assert list(r.read_records(path, type(record))) == [record]
        assert [p.name for p in tmp_path.iterdir()] == ["rows.jsonl"]

    def test_refuses_a_missing_an_unknown_and_a_changed_field(self, record: r.Record) -> None:
        row = record.to_row()
        for name in row:
            with pytest.raises(r.RecordError, match=f"'{name}' is missing"):
                type(record).from_row({k: v for k, v in row.items() if k != name})
        with pytest.raises(r.RecordError, match="surprise"):
            type(record).from_row({**row, "surprise": 1})
        with pytest.raises(r.RecordError, match="changed after it was written"):
            type(record).from_row({**row, "seed": 8})
        with pytest.raises(r.RecordError, match="seed"):
            type(record).from_row({**row, "seed": "7"})

    def test_is_flat_and_the_same_content_has_the_same_id(self, record: r.Record) -> None:
        row = record.to_row()
        assert not any(isinstance(value, dict) for value in row.values())
        assert type(record).make(**{k: v for k, v in dict(record).items() if k != "id"}).id == record.id

    def test_is_read_by_datasets(self, record: r.Record, tmp_path: Path) -> None:
        datasets = pytest.importorskip("datasets")
        path = tmp_path / "rows.jsonl"
        r.write_records(path, [record])
        table = datasets.load_dataset("json", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
        assert table.num_rows == 1
        assert set(table.column_names) == set(type(record).model_fields)
        assert table[0]["id"] == record.id


def test_the_trainer_columns_keep_every_byte(tmp_path: Path) -> None:
    row = r.SftRow.make(**SAMPLED, prompt="Instruction: a\u2028b\nResponse:", completion=" é\t\\ ", instruction="x")
    r.write_records(tmp_path / "sft.jsonl", [row])
    assert next(r.read_records(tmp_path / "sft.jsonl", r.SftRow)).completion == " é\t\\ "


def test_a_bad_line_is_named_with_file_line_and_field(tmp_path: Path) -> None:
    path = tmp_path / "sft.jsonl"
    good = one_of_each()[5]
    r.write_records(path, [good])
    bad = {**good.to_row(), "completion": ""}
    path.write_text(path.read_text() + json.dumps(bad) + "\n")
    with pytest.raises(r.RecordError, match=r"sft.jsonl, line 2: SftRow: field 'completion'"):
        list(r.read_records(path, r.SftRow))
    path.write_text('{"torn": ')
    with pytest.raises(r.RecordError, match="line 1: not JSON"):
        list(r.read_records(path, r.SftRow))


def test_one_row_cannot_be_written_twice_and_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path, row = tmp_path / "rows.jsonl", one_of_each()[0]
    r.write_records(path, [row])
    before = path.read_bytes()
    with pytest.raises(r.RecordError, match="written twice"):
        r.write_records(path, [row, row])
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["rows.jsonl"]


@pytest.mark.parametrize(
    ("kind", "change", "said"),
    [
        (r.Pair, {"rejected": " hi "}, "same text"),
        (r.Pair, {"rejected": "  "}, "must hold text"),
        (r.Pair, {"source": "placeholder"}, "source"),
        (r.Judgement, {"margin": 0.9}, "not the mean"),
        (r.Judgement, {"margin": None}, "must be None exactly"),
        (r.Judgement, {"logp_a": (-0.5,)}, "of one length"),
        (r.Judgement, {"agreement": 1.2}, "agreement"),
        (r.Answer, {"mean_logprob": float("nan")}, "mean_logprob"),
        (r.Answer, {"finish_reason": "gave up"}, "finish_reason"),
        (r.EvalResult, {"strict": 1}, "strict"),
        (r.SftRow, {"model": "gpt"}, "model"),
    ],
)
def test_what_cannot_be_true_is_refused(kind: type[r.Record], change: dict[str, Any], said: str) -> None:
    good = next(record for record in one_of_each() if type(record) is kind)
    with pytest.raises(r.RecordError, match=said):
        kind.make(**{**{k: v for k, v in dict(good).items() if k != "id"}, **change})


def test_the_margin_weighs_both_label_orders_alike() -> None:
    assert r.ab_margin(("0:A", "0:B"), (-1.0, -1.0), (-2.0, -2.0)) == 0.0  # a pure preference for the letter A
    assert r.ab_margin((), (), ()) is None


@given(st.text(st.characters(exclude_categories=["Cs"])), st.floats(-50, 0) | st.integers(-5, 0) | st.none())
@settings(max_examples=60)
def test_any_text_and_number_survives(raw: str, logprob: float | None) -> None:
    row = r.Answer.make(**{**WRITTEN, "text_raw": raw}, instruction="Say hi.", sample=1, mean_logprob=logprob)
    assert r.Answer.from_row(json.loads(json.dumps(row.to_row()))) == row


def test_a_row_with_an_invented_id_is_not_written(tmp_path: Path) -> None:
    forged = one_of_each()[0].model_copy(update={"seed": 99})
    with pytest.raises(r.RecordError, match="changed after it was written"):
        r.write_records(tmp_path / "rows.jsonl", [forged])
    assert not list(tmp_path.iterdir())


def test_half_a_character_is_refused() -> None:
    with pytest.raises(r.RecordError, match="Answer"):
        r.Answer.make(**{**WRITTEN, "text_raw": "\ud800"}, instruction="Say hi.", sample=1)
