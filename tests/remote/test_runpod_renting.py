"""What is asked of RunPod when a pod is rented, what is refused before, and what the other calls send and return."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace
from runpod_payloads import BILLING, GPUS, NOW, POD, PROVISIONING, RUNNING, VOLUMES, ok, provider

from remote.errors import ConfigError, NotFound
from remote.pods import registry
from remote.pods.model import Cloud, PodSpec, PodStatus
from remote.pods.provider import Capability, Provider
from remote.pods.runpod import asking
from remote.pods.runpod.provider import RunPodProvider

SPEC = PodSpec(
    image="runpod/pytorch:1.0.2-cu1281-torch280-ubuntu2404",
    gpu="NVIDIA A100-SXM4-80GB",
    volume_id="grvtso8ftn",
    data_centers=("EU-RO-1",),
    min_cuda="12.8",
    env={"PUBLIC_KEY": "ssh-ed25519 AAAA... maxcai"},
)


async def test_the_documented_body_is_sent() -> None:
    runpod, script, _ = provider(ok(PROVISIONING, 201))
    found = await runpod.create("maxcai-7f3a91-r01", SPEC)
    assert found.status is PodStatus.PULLING
    assert script.sent == ["POST /v2/pods"]
    assert script.body() == {
        "name": "maxcai-7f3a91-r01",
        "image": "runpod/pytorch:1.0.2-cu1281-torch280-ubuntu2404",
        "gpu": {"id": "NVIDIA A100-SXM4-80GB", "count": 1, "minCudaVersion": "12.8"},
        "cloud": "SECURE",
        "disk": 50,
        "ports": ["22/tcp"],
        "dataCenterIds": ["EU-RO-1"],
        "env": {"PUBLIC_KEY": "ssh-ed25519 AAAA... maxcai"},
        "mounts": {"network": [{"volumeId": "grvtso8ftn", "path": "/workspace"}]},
    }
    assert "ssh-ed25519" not in repr(SPEC)


def test_a_volume_disk_a_template_or_nothing_kept_is_said_so() -> None:
    disk = replace(SPEC, volume_id=None, volume_gb=20, mount="/data")
    assert asking.body("n", disk)["mounts"] == {"persistent": {"size": 20, "path": "/data"}}
    assert "mounts" not in asking.body("n", replace(SPEC, volume_id=None, ephemeral=True))
    template = asking.body("n", replace(SPEC, image="", template_id="tpl"))
    assert template["templateId"] == "tpl"
    assert "image" not in template


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image": ""}, "neither image nor template"),
        ({"gpu": ""}, "no GPU type"),
        ({"gpu": None, "volume_id": None, "volume_gb": 20}, "without a GPU has no kept disk"),
        ({"gpu": None, "bid": Decimal("0.5")}, "no pods without a GPU"),
        ({"gpu_count": 0}, "0 GPUs"),
        ({"disk_gb": 0}, "disk has 0 GB"),
        ({"volume_gb": 20}, "network volume and a volume disk"),
        ({"volume_id": ""}, "has no id"),
        ({"volume_id": None, "volume_gb": 9}, "9 GB"),
        ({"volume_id": None}, "nothing of it would survive"),
        ({"mount": "workspace"}, "no absolute path"),
        ({"min_cuda": "12"}, "no CUDA version"),
        ({"data_centers": ("",)}, "no name"),
        ({"env": {f"V{n}": "x" for n in range(51)}}, "51 environment"),
        ({"env": {"A=B": "x"}}, "no name of an environment"),
        ({"env": {"A": "secret\0value"}}, "the value of A"),
        ({"bid": Decimal(0), "min_cuda": None}, "bid is 0"),
        ({"bid": Decimal("NaN"), "min_cuda": None}, "bid is NaN"),
        ({"bid": Decimal("0.5"), "min_cuda": "99.0", "data_centers": ()}, "no CUDA version"),
        ({"bid": Decimal("0.5"), "min_cuda": None, "data_centers": ("A", "B")}, "one data centre"),
    ],
)
async def test_what_runpod_would_refuse_is_refused_before_anything_is_sent(changes: dict[str, Any], words: str) -> None:
    runpod, script, _ = provider()
    with pytest.raises(ConfigError, match=words) as caught:
        await runpod.create("maxcai-a", replace(SPEC, **changes))
    assert caught.value.hint
    assert "secret" not in str(caught.value)
    assert script.requests == []


@pytest.mark.parametrize(("name", "fine"), [("", False), ("x", True), ("x" * 191, True), ("x" * 192, False)])
def test_a_name_has_1_to_191_characters(name: str, fine: bool) -> None:
    if fine:
        asking.check(name, SPEC)
    else:
        with pytest.raises(ConfigError, match="its name has"):
            asking.check(name, SPEC)


def test_a_spot_pod_asks_for_every_cuda_version_from_the_lowest_on() -> None:
    versions = asking.spot_input("n", replace(SPEC, bid=Decimal("0.5")))["allowedCudaVersions"]
    assert versions[0] == "12.8"
    assert "13.0" in versions
    assert "12.7" not in versions


def test_what_runpod_takes_is_not_refused() -> None:
    for changes in (
        {"volume_id": None, "ephemeral": True},
        {"volume_id": None, "volume_gb": 10},
        {"disk_gb": 1, "gpu_count": 8, "min_cuda": None, "data_centers": ()},
        {"env": {f"V{n}": "" for n in range(50)}},
        {"image": "", "template_id": "tpl"},
    ):
        asking.check("n", replace(SPEC, **changes))


async def test_the_catalogue_is_asked_for_each_cloud_with_the_words_it_needs() -> None:
    runpod, script, _ = provider(ok(GPUS), ok(GPUS))
    offers = await runpod.catalog(2)
    assert [(offer.cloud, offer.price) for offer in offers] == [
        (Cloud.SECURE, Decimal("0.44")),
        (Cloud.COMMUNITY, Decimal("0.31")),
    ]
    assert [dict(request.url.params) for request in script.requests] == [
        {"include": "AVAILABILITY", "product": "POD", "cloud": cloud, "count": "2"} for cloud in ("SECURE", "COMMUNITY")
    ]
    with pytest.raises(ConfigError):
        await runpod.catalog(0)


async def test_bills_are_asked_by_hour_and_read_exactly() -> None:
    runpod, script, _ = provider(ok(BILLING))
    (record,) = await runpod.billing(NOW - 3600, NOW, "7h9k2m4n6p")
    assert (record.pod_id, record.total, record.cpu) == ("7h9k2m4n6p", Decimal("12.34"), 0)
    assert dict(script.requests[0].url.params) == {
        "startTime": "2026-08-20T05:16:40.000Z",
        "endTime": "2026-08-20T06:16:40.000Z",
        "bucketSize": "hour",
        "podId": "7h9k2m4n6p",
    }
    with pytest.raises(ConfigError, match="before it begins"):
        await runpod.billing(NOW, NOW)


async def test_a_volume_is_made_with_what_was_asked() -> None:
    runpod, script, _ = provider(ok(VOLUMES["networkVolumes"][0], 201))
    assert (await runpod.create_volume("models", 50, "EU-RO-1")).id == "grvtso8ftn"
    assert script.sent == ["POST /v2/network-volumes"]
    assert script.body() == {"name": "models", "size": 50, "dataCenter": "EU-RO-1"}
    for bad in (("", 50, "EU"), ("m", 9, "EU"), ("m", 4097, "EU"), ("m", 50, "")):
        with pytest.raises(ConfigError):
            await runpod.create_volume(*bad)
    assert len(script.requests) == 1


async def test_it_is_a_provider_that_can_do_everything() -> None:
    runpod, _, _ = provider()
    whole: Provider = runpod
    assert whole.capabilities == set(Capability)
    assert whole.name == "runpod"
    await runpod.aclose()
    await runpod.aclose()


async def test_a_zero_gpu_start_shows_in_the_pod() -> None:
    runpod, _, _ = provider(ok({**PROVISIONING, "status": "RUNNING", "gpu": {"id": "NVIDIA A40", "count": 0}}))
    assert (await runpod.start(POD)).gpu_count == 0


async def test_every_request_has_the_time_that_it_is_given() -> None:
    runpod, script, _ = provider(ok(RUNNING), ok(PROVISIONING, 201), httpx.Response(404, json={"status": 404}))
    await runpod.get(POD)
    await runpod.create("maxcai-a", SPEC)
    with pytest.raises(NotFound):
        await runpod.logs(POD)
    times = [request.extensions["timeout"] for request in script.requests]
    assert [time["connect"] for time in times] == [5, 5, 5]
    assert [time["read"] for time in times] == [30, 60, 45]


def test_nothing_here_can_change_the_accounts_keys_or_edit_a_pod() -> None:
    sources = [path.read_text() for path in Path(asking.__file__).parent.glob("*.py")]
    assert len(sources) > 8
    assert not [word for word in ("ssh-keys", '"PUT"', '"PATCH"', "updateUserSettings(") if word in "".join(sources)]


def test_the_registry_makes_it_by_its_name(tmp_path: Path) -> None:
    made = registry.provider("runpod", tmp_path, lambda: NOW, {"MAXCAI_RUNPOD_URL": "http://127.0.0.1:1"})
    assert isinstance(made, RunPodProvider)
