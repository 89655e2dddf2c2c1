"""Hundreds of requests at once, bad ones among them: each is answered, and rightly."""

import asyncio
import random
from collections import Counter
from pathlib import Path

import httpx
import pytest

from brain_tumor.inference.classifier import Classifier
from tests.inference.toy import NAME, disc
from tests.serving.serving import Part, Server, files, serving

pytestmark = pytest.mark.slow
MAX_BYTES = 300_000
REQUESTS = 480
IMAGES = [disc(level, kind) for level in range(60, 250, 12) for kind in ("PNG", "JPEG", "TIFF")]


def bad_requests() -> list[tuple[str, list[Part], int]]:
    """Method, parts and the status that is due."""
    png = IMAGES[0]
    return [
        ("POST", files(("a", b"no image at all")), 415),
        ("POST", files(("a", b"")), 422),
        ("POST", files(("a", png[: len(png) // 2])), 422),
        ("POST", files(("a", png[:8] + bytes(MAX_BYTES))), 413),
        ("POST", files(("a", bytes(5 * MAX_BYTES))), 413),
        ("POST", [("image", ("a", png))], 400),
        ("GET", [], 405),
        ("PUT", files(("a", png)), 405),
    ]


async def ask(client: httpx.AsyncClient, method: str, parts: list[Part]) -> httpx.Response:
    """The answer, asked again for as long as the server says it is busy."""
    for _ in range(200):
        answer = await client.request(method, "/predict", files=parts or None)
        if answer.status_code != 503:
            return answer
        assert answer.json()["error"]["code"] == "busy"
        BUSY.append(int(answer.headers["Retry-After"]))
        await asyncio.sleep(min(BUSY[-1], 1) * random.uniform(0.5, 1.5))
    raise AssertionError("always busy")


BUSY: list[int] = []


async def storm(server: Server) -> list[tuple[int, int, httpx.Response]]:
    """Index into the good images, or below 0 into the bad requests; status due; answer."""
    bad = bad_requests()
    work = [(number % len(IMAGES), "POST", 200) for number in range(REQUESTS)]
    work += [(~kind, *bad[kind][::2]) for kind in range(len(bad)) for _ in range(15)]
    random.Random(0).shuffle(work)
    bounds = httpx.Limits(max_connections=None, max_keepalive_connections=50)
    async with httpx.AsyncClient(base_url=server.url, timeout=300, limits=bounds) as client:

        async def send(index: int, method: str, due: int) -> tuple[int, int, httpx.Response]:
            parts = files(("a", IMAGES[index])) if index >= 0 else bad[~index][1]
            return index, due, await ask(client, method, parts)

        return await asyncio.gather(*(send(*item) for item in work))


def test_every_request_of_a_storm_is_answered_rightly(toy: Path, tmp_path: Path) -> None:
    classifier = Classifier.load(toy / "artifacts" / "bundle", "fast", NAME)
    expected = [prediction.probability for [prediction] in classifier.predict(IMAGES)]
    BUSY.clear()
    with serving(toy, tmp_path, "--max-mb", str(MAX_BYTES / 1e6)) as server:
        asyncio.run(storm(server))
        before = server.memory_mb()
        answers = asyncio.run(storm(server))
        after = server.memory_mb()
        health = httpx.get(f"{server.url}/health").json()
    assert len(answers) == REQUESTS + 15 * len(bad_requests())
    for index, due, answer in answers:
        assert answer.status_code == due, answer.text
        if due == 200:
            [[prediction]] = [file["slices"] for file in answer.json()["files"]]
            assert prediction["probability"] == pytest.approx(expected[index], abs=1e-6)
        else:
            assert answer.json()["error"].keys() == {"code", "message"}
    assert Counter(answer.status_code for _, _, answer in answers)[200] == REQUESTS
    assert all(seconds >= 1 for seconds in BUSY)
    assert health["queue"] == 0
    assert after < before + 40, "memory grows"
