"""Against the real RunPod, reading only: left out unless MAXCAI_LIVE=1 and `.env.runpod` of this folder has a key."""

from __future__ import annotations

import importlib.util
import os
import time
from pathlib import Path

import pytest

from remote.pods.model import PodStatus
from remote.pods.provider import Provider
from remote.pods.runpod.provider import RunPodProvider
from remote.pods.runpod.sdk import SdkProvider
from remote.secrets import ENV_FILE, KEY_NAME, require_runpod_key

ASKED = os.environ.get("MAXCAI_LIVE") == "1" and Path(ENV_FILE).exists()
pytestmark = pytest.mark.skipif(not ASKED, reason=f"MAXCAI_LIVE is not 1, or there is no {ENV_FILE} here")
needs_sdk = pytest.mark.skipif(importlib.util.find_spec("runpod") is None, reason="the extra `runpod` is not installed")


def made(kind: type[RunPodProvider] | type[SdkProvider], state_dir: Path) -> Provider:
    secret = require_runpod_key(Path.cwd(), {})
    return kind(state_dir, time.time, {KEY_NAME: secret.value})


@pytest.mark.parametrize("kind", [RunPodProvider, pytest.param(SdkProvider, marks=needs_sdk)])
async def test_every_pod_and_price_of_the_account_is_understood(
    kind: type[RunPodProvider] | type[SdkProvider], tmp_path: Path
) -> None:
    live = made(kind, tmp_path)
    pods = await live.list()
    assert [pod.provider_status for pod in pods if pod.status is PodStatus.UNKNOWN] == []
    assert [(await live.get(pod.id)).id for pod in pods] == [pod.id for pod in pods]
    await live.volumes()
    assert [offer for offer in await live.catalog() if offer.price is not None]
    await live.aclose()


@needs_sdk
async def test_both_transports_tell_the_same_of_every_pod(tmp_path: Path) -> None:
    told = []
    for kind in (RunPodProvider, SdkProvider):
        live = made(kind, tmp_path)
        told.append({pod.id: (pod.name, pod.price_per_hour, pod.endpoint) for pod in await live.list()})
        await live.aclose()
    assert told[0] == told[1]
