"""RunPod's recorded replies become the records they should, and nothing is made up that they do not say."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from runpod_payloads import BILLING, BOOTING, GPUS, POD, PROVISIONING, PULLING, RUNNING, STOPPED, VOLUMES, as_read, pod

from remote.pods.model import Cloud, Endpoint, GpuUse, PodStatus, Stock, VolumeKind
from remote.pods.runpod import wire
from remote.pods.runpod.decode import MAX_DEPTH, decode


def test_the_recorded_running_pod_is_read_whole() -> None:
    found = wire.pod(as_read(RUNNING))
    assert (found.id, found.name, found.provider) == (POD, "probe", "runpod")
    assert found.status is PodStatus.RUNNING
    assert found.endpoint == Endpoint("213.173.104.74", 35558, "root")
    assert found.proxy == Endpoint("ssh.runpod.io", 22, "5xpma5eg46tqjq-64411eb2")
    assert (found.gpu, found.gpu_count) == ("NVIDIA RTX PRO 4500 Blackwell", 1)
    assert (found.root, found.python, found.disk_gb) == ("/workspace", "python3", 30)
    assert (found.volume, found.volume_id, found.volume_gb) == (VolumeKind.NETWORK, "grvtso8ftn", None)
    assert found.actions == {"stop", "restart", "terminate"}
    assert (found.cloud, found.data_center) == (Cloud.SECURE, "EU-RO-1")
    assert found.price_per_hour == Decimal("0.72")
    assert found.use == (GpuUse(0.0, 0.0),)
    assert found.started_at == pytest.approx(1787206579.43)
    assert found.session is not None
    assert found.spot is None


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (PROVISIONING, PodStatus.PULLING),
        (PULLING, PodStatus.PULLING),
        (pod(runtime=..., ssh=...), PodStatus.PULLING),
        (pod(runtime={}, ssh={}), PodStatus.PULLING),
        (BOOTING, PodStatus.BOOTING),
        (pod(status="STARTING"), PodStatus.BOOTING),
        (RUNNING, PodStatus.RUNNING),
        (STOPPED, PodStatus.STOPPED),
        (pod(status="EXITED"), PodStatus.STOPPED),
        (pod(status="TERMINATED"), PodStatus.GONE),
        (pod(status="ERROR"), PodStatus.DEGRADED),
        (pod(status="MIGRATING"), PodStatus.UNKNOWN),
        (pod(status=...), PodStatus.UNKNOWN),
        (pod(status=None), PodStatus.UNKNOWN),
        (pod(status=["RUNNING"]), PodStatus.UNKNOWN),
    ],
)
def test_a_state_follows_from_evidence_and_only_a_running_pod_has_an_endpoint(
    data: dict[str, Any], status: PodStatus
) -> None:
    found = wire.pod(data)
    assert found.status is status
    assert (found.endpoint is not None) == (status is PodStatus.RUNNING)


def test_the_word_of_the_provider_is_kept_beside_our_state() -> None:
    assert wire.pod(PULLING).provider_status == "RUNNING"
    assert wire.pod(pod(status="MIGRATING")).provider_status == "MIGRATING"
    assert wire.pod(pod(status=...)).provider_status is None


@pytest.mark.parametrize("cost", [b"0", b"0.0", b"-1", b"NaN", b"Infinity", b"-Infinity", b"null", b'"0.72"', b"true",
                                  b"1e99", b"1e999999999999999999999", b"1e-400", b"[]", b"{}"])  # fmt: skip
def test_a_cost_that_is_none_is_unknown_and_never_zero(cost: bytes) -> None:
    found = wire.pod(decode(b'{"id":"abc","status":"RUNNING","cost":%s}' % cost))
    assert found.price_per_hour is None


def test_a_cost_is_exactly_what_was_written() -> None:
    found = wire.pod(decode(b'{"id":"abc","cost":0.72}'))
    assert found.price_per_hour == Decimal("0.72")
    assert str(found.price_per_hour) == "0.72"
    assert wire.pod(decode(b'{"id":"abc","cost":2}')).price_per_hour == 2


def test_what_is_absent_stays_absent() -> None:
    found = wire.pod({"id": "abc"})
    assert found.status is PodStatus.UNKNOWN
    nothing = (found.gpu, found.gpu_count, found.price_per_hour, found.endpoint, found.started_at, found.image)
    assert nothing == (None,) * 6
    rest = (found.actions, found.cloud, found.data_center, found.disk_gb, found.volume, found.volume_id, found.proxy)
    assert rest == (None,) * 7


@pytest.mark.parametrize(
    ("mounts", "kind", "root"),
    [
        ({"persistent": {"size": 20, "path": "/data"}}, VolumeKind.PERSISTENT, "/data"),
        ({"network": [{"volumeId": "v", "path": "/workspace/kept/"}]}, VolumeKind.NETWORK, "/workspace/kept"),
        ({"network": [], "persistent": None}, VolumeKind.NONE, "/workspace"),
        ({}, VolumeKind.NONE, "/workspace"),
        ({"persistent": {"size": 0}}, VolumeKind.NONE, "/workspace"),
        (None, None, "/workspace"),
        (..., None, "/workspace"),
        ("x", None, "/workspace"),
        ({"network": "x"}, None, "/workspace"),
        ({"network": [7]}, None, "/workspace"),
        ({"persistent": 7}, None, "/workspace"),
        ({"network": [{"volumeId": "v1", "path": "/a/../../etc"}]}, VolumeKind.NETWORK, "/workspace"),
        ({"network": [{"volumeId": "v1", "path": "relative"}]}, VolumeKind.NETWORK, "/workspace"),
        ({"network": [{"volumeId": "v1", "path": "/a\u0007b"}]}, VolumeKind.NETWORK, "/workspace"),
    ],
)  # fmt: skip
def test_what_is_kept_is_none_only_when_the_reply_says_so(mounts: Any, kind: VolumeKind | None, root: str) -> None:
    found = wire.pod(pod(mounts=mounts))
    assert (found.volume, found.root) == (kind, root)


@pytest.mark.parametrize(
    "direct",
    [None, {}, {"host": "1.2.3.4"}, {"port": 22}, {"host": "1.2.3.4", "port": None}, {"host": "1.2.3.4", "port": 0},
     {"host": "1.2.3.4", "port": 65536}, {"host": "1.2.3.4", "port": True}, {"host": "1.2.3.4", "port": "22"},
     {"host": "-oProxyCommand=x", "port": 22}, {"host": "a b", "port": 22}, {"host": "", "port": 22}, [], "x"],
)  # fmt: skip
def test_half_an_address_is_none_and_the_pod_not_running(direct: Any) -> None:
    found = wire.pod(pod(ssh={"direct": direct}))
    assert found.endpoint is None
    assert found.status is PodStatus.BOOTING


def test_a_pod_without_its_gpu_says_so() -> None:
    found = wire.pod(pod(gpu={"id": "NVIDIA A40", "count": 0}))
    assert found.gpu_count == 0
    assert found.detail == "it runs without a GPU"
    assert wire.pod(pod(gpu=..., cpu={"id": "cpu3c", "count": 2})).gpu_count == 0
    assert wire.pod(pod(gpu=...)).gpu_count is None


@pytest.mark.parametrize("bad", [None, "", 7, "../account/ssh-keys", "a/b", "a b", ".", "..", "a?b", "a\n", "é"])
def test_an_id_that_would_be_another_address_is_refused(bad: Any) -> None:
    with pytest.raises(ValueError, match="id is missing or malformed"):
        wire.pod(pod(id=bad))


@pytest.mark.parametrize(
    "bad", [None, "", "soon", "2026-08-20", "2026-08-20T06:16:19", "0001-01-01T00:00:00Z", 1787206579,
            "2026-13-20T06:16:19Z", "9999-12-31T23:59:59Z", "2026-W01-1T00:00:00Z"],
)  # fmt: skip
def test_a_time_that_is_none_leaves_the_pod_without_a_session(bad: Any) -> None:
    assert wire.pod(pod(startedAt=bad)).session is None


def test_the_catalogue_is_read_for_each_cloud() -> None:
    gpus = as_read(GPUS)
    (secure,), (community,) = wire.offers(gpus, Cloud.SECURE, 1), wire.offers(gpus, Cloud.COMMUNITY, 1)
    assert (secure.gpu, secure.name, secure.memory_gb) == ("NVIDIA GeForce RTX 4090", "RTX 4090", 24)
    assert secure.stock is Stock.HIGH
    assert secure.data_centers == {"US-KS-2": Stock.HIGH}
    assert secure.cuda_versions == ("12.8",)
    assert (secure.max_count, community.max_count) == (8, 4)
    assert (secure.price, community.price) == (Decimal("0.44"), Decimal("0.31"))
    assert wire.offers(GPUS, Cloud.COMMUNITY, 8) == []


def test_an_unknown_price_or_stock_is_told_as_unknown() -> None:
    (offer,) = wire.offers({"gpus": [{"id": "X", "price": {"secure": 0}, "availability": "PLENTY"}]}, Cloud.SECURE, 1)
    assert (offer.price, offer.stock, offer.max_count, offer.memory_gb) == (None, None, None, None)


def test_volumes_and_bills_are_read() -> None:
    found = wire.volume(VOLUMES["networkVolumes"][0])
    assert (found.id, found.name, found.size_gb, found.data_center, found.kind) == (
        "grvtso8ftn", "models", 50, "EU-RO-1", "STANDARD",
    )  # fmt: skip
    told = {**BILLING["records"][0], "diskAmount": None}
    record = wire.billing_record(as_read(told))
    assert (record.total, record.gpu, record.cpu, record.disk) == (Decimal("12.34"), Decimal("11.1"), 0, None)
    assert record.end - record.start == 86400
    with pytest.raises(ValueError, match="has no time"):
        wire.billing_record({**BILLING["records"][0], "endTime": None})


def test_deep_nesting_is_refused_before_it_costs_anything() -> None:
    decode(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    for depth in (MAX_DEPTH + 2, 100_000):
        with pytest.raises(ValueError, match="nested too deeply"):
            decode(b"[" * depth + b"]" * depth)


def test_text_that_could_not_be_written_to_a_file_is_mended() -> None:
    found = wire.pod(decode(b'{"id":"abc","name":"a\\ud800b"}'))
    assert found.name.encode() == b"a?b"
