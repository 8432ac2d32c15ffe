"""When a pod session began, told truthfully although RunPod's own library does not say; and its spelling of a pod."""

from __future__ import annotations

import asyncio
import json
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from remote.errors import DiskFull
from remote.money.costs import Ledger
from remote.pods.model import Cloud, Endpoint, Pod, PodSpec, PodStatus, VolumeKind
from remote.pods.runpod import sdk_notes
from remote.pods.runpod.asking import cuda_from
from remote.pods.runpod.decode import decode
from remote.pods.runpod.sdk_notes import Notes, Session, follow
from remote.pods.runpod.sdk_wire import Reading, escaped, read_offers, read_pod, read_pods

RECORDED: dict[str, Any] = decode(b"""
{"id":"5xpma5eg46tqjq","containerDiskInGb":30,"costPerHr":0.72,"desiredStatus":"RUNNING","dockerArgs":"",
 "dockerId":null,"env":["PUBLIC_KEY=ssh-ed25519 ..."],"gpuCount":1,"imageName":"runpod/pytorch:1.0.7",
 "lastStatusChange":"Rented by User: Fri Jul 12 2024 15:14:40 GMT-0400 (Eastern Daylight Time)",
 "machineId":"ohkxhsnz9mko","memoryInGb":62,"name":"n","podType":"RESERVED","port":null,"ports":"22/tcp",
 "uptimeSeconds":0,"vcpuCount":12,"volumeInGb":0,"volumeMountPath":"/workspace",
 "machine":{"gpuDisplayName":"RTX PRO 4500"},
 "runtime":{"ports":[{"ip":"100.65.14.155","isIpPublic":false,"privatePort":22,"publicPort":60821,"type":"http"},
   {"ip":"213.173.104.74","isIpPublic":true,"privatePort":22,"publicPort":35558,"type":"tcp"}]}}
""")
AT = 1720811680.0  # Fri Jul 12 2024 19:14:40 UTC
NOW = AT + 5000


def reading(status: PodStatus, port: int | None = None, told: float | None = None) -> Reading:
    endpoint = Endpoint("10.0.0.1", port, "root") if port else None
    return Reading(Pod("p1", "maxcai-a", "runpod", status, "/workspace", "python3", endpoint=endpoint), told)


def raw(**changes: Any) -> dict[str, Any]:
    return {**RECORDED, **changes}


def test_the_recorded_pod_is_read_with_what_it_tells_and_nothing_more() -> None:
    found = read_pod(RECORDED)
    assert found.told == AT
    assert found.pod == Pod(
        id="5xpma5eg46tqjq", name="n", provider="runpod", status=PodStatus.RUNNING, root="/workspace",
        python="python3", gpu="RTX PRO 4500", gpu_count=1, price_per_hour=Decimal("0.72"),
        endpoint=Endpoint("213.173.104.74", 35558, "root"), image="runpod/pytorch:1.0.7", provider_status="RUNNING",
        actions=frozenset({"stop", "terminate"}), disk_gb=30, spot=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"runtime": None}, PodStatus.PULLING), ({"runtime": {}}, PodStatus.PULLING),
        ({"runtime": {"ports": None, "uptimeInSeconds": 3}}, PodStatus.BOOTING),
        ({"runtime": {"ports": [{"privatePort": 22, "isIpPublic": True, "ip": None, "publicPort": None}]}},
         PodStatus.BOOTING),
        ({"desiredStatus": "EXITED", "runtime": None}, PodStatus.STOPPED),
        ({"desiredStatus": "EXITED"}, PodStatus.STOPPING), ({"desiredStatus": "DEAD"}, PodStatus.UNKNOWN),
        ({"desiredStatus": "TERMINATED"}, PodStatus.GONE), ({"desiredStatus": "RESTARTING"}, PodStatus.BOOTING),
        ({"desiredStatus": "CREATED", "runtime": None}, PodStatus.PULLING),
        ({"desiredStatus": None}, PodStatus.UNKNOWN), ({"desiredStatus": "PAUSED"}, PodStatus.UNKNOWN),
    ],
)  # fmt: skip
def test_states_follow_from_evidence_and_only_a_running_pod_has_an_address(
    changes: dict[str, Any], status: PodStatus
) -> None:
    pod = read_pod(raw(**changes)).pod
    assert pod.status is status
    assert pod.endpoint is None


@pytest.mark.parametrize("cost", [b"null", b"0", b"0.0", b"-1.5", b'"0.72"', b"true", b"NaN", b"1e999", b"[]", b"{}"])
def test_a_price_that_is_not_told_is_never_zero(cost: bytes) -> None:
    assert read_pod(raw(costPerHr=decode(cost))).pod.price_per_hour is None


def test_malformed_pods_are_refused_or_read_as_unknown_and_never_crash() -> None:
    draw = random.Random(4)
    junk = [
        None,
        0,
        -1,
        Decimal("1.5"),
        True,
        "",
        "x",
        [],
        {},
        [None],
        {"ports": [7]},
        {"ports": {"a": 1}},
        10**400,
        "\ud800",
    ]
    for _ in range(3000):
        broken = raw()
        for key in draw.sample(sorted(broken), k=draw.randint(1, 6)):
            broken[key] = draw.choice(junk)
        try:
            pod = read_pod(broken).pod
        except ValueError:
            continue
        assert pod.status is not PodStatus.RUNNING or pod.endpoint is not None
        assert pod.price_per_hour is None or pod.price_per_hour > 0
    for whole in (None, [None], [{}], [{"id": 7}], [RECORDED, {"name": "without an id"}], {}, "pods"):
        with pytest.raises(ValueError):  # noqa: PT011
            read_pods(whole)


@pytest.mark.parametrize(
    ("remark", "at"),
    [
        ("Rented by User: Fri Jul 12 2024 15:14:40 GMT-0400 (x)", AT),
        ("Resumed by User: Fri Jul 12 2024 19:14:40 GMT+0000", AT),
        ("Started by User: Sat Jul 13 2024 00:44:40 GMT+0530 (India)", AT),
        ("Exited by User: Fri Jul 12 2024 15:14:40 GMT-0400", None),
        ("Rented by User: Fri Foo 12 2024 15:14:40 GMT-0400", None),
        ("Rented by User: Fri Feb 31 2024 15:14:40 GMT-0400", None), ("Rented by User", None), (None, None), (7, None),
    ],
)  # fmt: skip
def test_a_start_is_read_from_runpods_remark_when_it_speaks_of_one(remark: Any, at: float | None) -> None:
    assert read_pod(raw(lastStatusChange=remark)).told == at


def test_a_pod_first_seen_running_says_that_its_start_is_not_known() -> None:
    assert follow(None, reading(PodStatus.RUNNING, 1), NOW) == Session(NOW, seen=True, address="10.0.0.1:1")
    assert follow(None, reading(PodStatus.RUNNING, 1, AT), NOW) == Session(AT, address="10.0.0.1:1")
    assert follow(None, reading(PodStatus.STOPPED), NOW) is None


def test_the_address_a_pod_gets_while_it_boots_begins_no_session() -> None:
    session = Session(NOW)
    for item in (reading(PodStatus.PULLING), reading(PodStatus.BOOTING), reading(PodStatus.RUNNING, 1)):
        found = follow(session, item, NOW + 50)
        assert found is not None
        session = found
    assert session == Session(NOW, address="10.0.0.1:1")
    assert follow(session, reading(PodStatus.RUNNING, 1), NOW + 99999) == session
    for vague in (PodStatus.UNKNOWN, PodStatus.STOPPING, PodStatus.GONE):
        assert follow(session, reading(vague), NOW + 99) == session


@pytest.mark.parametrize(
    "item",
    [reading(PodStatus.RUNNING, 2), reading(PodStatus.BOOTING), reading(PodStatus.RUNNING, 1, NOW + 90)],
    ids=["other address", "address gone", "started again by its remark"],
)
def test_a_start_between_two_readings_is_a_session_of_its_own(item: Reading) -> None:
    before = Session(NOW, address="10.0.0.1:1")
    found = follow(before, item, NOW + 100)
    assert found is not None
    assert found.started_at > NOW
    assert found.seen == (item.told is None)


def test_after_a_stop_was_read_even_the_same_address_is_a_new_session() -> None:
    session = follow(Session(NOW, address="10.0.0.1:1"), reading(PodStatus.STOPPED), NOW + 10)
    assert session is not None
    assert session.started_at == NOW  # of a stopped pod: its last session, for the ledger
    again = follow(session, reading(PodStatus.RUNNING, 1), NOW + 10)
    assert again is not None
    assert again.started_at > NOW
    set_back = follow(session, reading(PodStatus.RUNNING, 1), NOW - 3600)
    assert set_back is not None
    assert set_back.started_at > NOW  # a clock that was set back makes no session older than the last


def test_an_old_remark_does_not_split_the_session_that_we_started() -> None:
    ours = Session(NOW)
    assert follow(ours, reading(PodStatus.PULLING, told=NOW - 9000), NOW + 5) == ours
    assert follow(ours, reading(PodStatus.PULLING, told=NOW + 30), NOW + 40) == ours


async def test_the_ledger_bills_each_session_once_and_without_a_gap(tmp_path: Path) -> None:
    now = NOW
    notes, ledger = Notes(tmp_path, lambda: now), Ledger(tmp_path)
    for status, port in ((PodStatus.PULLING, None), (PodStatus.RUNNING, 1), (PodStatus.RUNNING, 2)):
        ledger.reconcile(await notes.complete([reading(status, port)]), now, ["runpod"])
        now += 100
    await notes.stopped("p1")
    ledger.reconcile(await notes.complete([reading(PodStatus.STOPPED)]), now + 50, ["runpod"])
    rows = ledger.rows()
    assert [(row.session.started_at, row.stopped_at) for row in rows] == [(NOW, NOW + 200), (NOW + 200, NOW + 300)]


async def test_notes_are_shared_kept_bounded_and_survive_damage(tmp_path: Path) -> None:
    notes = Notes(tmp_path, lambda: NOW)
    spec = PodSpec("x", "NVIDIA A40", gpu_count=2, volume_id="v1", cloud=Cloud.COMMUNITY)
    await asyncio.gather(*(Notes(tmp_path, lambda: NOW).planned(f"pod-{n}", spec, "EU-RO-1") for n in range(20)))
    await notes.started("p1")
    (pod,) = await notes.complete([Reading(Pod("p1", "pod-7", "runpod", PodStatus.PULLING, "/w", "python3"), None)])
    assert (pod.gpu, pod.volume, pod.volume_id, pod.cloud) == ("NVIDIA A40", VolumeKind.NETWORK, "v1", Cloud.COMMUNITY)
    assert (pod.data_center, pod.started_at, pod.detail) == ("EU-RO-1", NOW, None)
    assert all(notes.asked(f"pod-{n}") for n in range(20))
    path = tmp_path / "runpod-sdk.json"
    assert path.stat().st_mode & 0o777 == 0o600
    many = [Reading(Pod(f"q{n}", "", "runpod", PodStatus.PULLING, "/w", "python3"), None) for n in range(400)]
    await notes.complete(many)
    assert len(json.loads(path.read_text())["sessions"]) == 300
    for damage in ("", "[", "[]", '{"sessions": 3}', '{"sessions": {"p1": {"started_at": "x"}}, "made": {"a": {}}}'):
        path.write_text(damage)
        (pod,) = await notes.complete([reading(PodStatus.RUNNING, 1)])
        assert "first seen" in (pod.detail or "")


async def test_a_full_disk_keeps_no_pod_from_being_read_and_its_session_stays_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = NOW
    notes = Notes(tmp_path, lambda: now)

    def full(*_: object, **__: object) -> None:
        raise DiskFull("No space is left.")

    monkeypatch.setattr(sdk_notes, "write_atomic", full)
    (first,) = await notes.complete([reading(PodStatus.RUNNING, 1)])
    now += 500
    (second,) = await notes.complete([reading(PodStatus.RUNNING, 1)])
    assert second.session == first.session
    monkeypatch.undo()
    await notes.stopped("p1")
    assert Notes(tmp_path, lambda: now)._read().sessions["p1"].started_at == NOW


def test_a_lowest_cuda_version_names_every_later_one() -> None:
    assert cuda_from("12.8") == ["12.8", "12.9", *(f"13.{minor}" for minor in range(10))]
    assert cuda_from("11.8")[:2] == ["11.8", "12.0"]


def test_strings_are_escaped_as_graphql_wants_them() -> None:
    assert escaped('a"b\\c\nd') == 'a\\"b\\\\c\\nd'


def test_a_gpu_type_too_small_for_the_count_is_no_offer() -> None:
    raw_type = {"id": "X", "displayName": "x", "memoryInGb": 80, "maxGpuCount": 2, "communityCloud": False}
    assert [offer.cloud for offer in read_offers(raw_type, 2)] == [Cloud.SECURE]
    assert read_offers(raw_type, 3) == []
