"""The HTTP API as a client meets it: right answers, its own errors, bounds, a schema that holds."""

import base64
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema  # type: ignore[import-untyped]
import nibabel
import numpy as np
import pytest
from fastapi.openapi.models import OpenAPI
from PIL import Image

from brain_tumor.inference.classifier import Classifier, Prediction
from brain_tumor.serving.schema import SliceAnswer
from tests.imaging.test_header import directories, encoded
from tests.inference.toy import NAME, THRESHOLD, disc, disc_pixels
from tests.serving.serving import Server, files, serving
from tests.serving.toy_bundle import CARD_FACTS

MAX_BYTES = 200_000
GOOD, OTHER = disc(120), disc(200, "JPEG")
TEXT = b"Dear colleague, thank you for referring"
LARGE = b"\x89PNG\r\n\x1a\n" + bytes(MAX_BYTES)


@pytest.fixture(scope="module")
def server(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(toy, tmp_path_factory.mktemp("log"), "--max-mb", str(MAX_BYTES / 1e6)) as started:
        yield started


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as opened:
        yield opened


@pytest.fixture(scope="module")
def classifier(toy: Path) -> Classifier:
    return Classifier.load(toy / "artifacts" / "bundle", "fast", NAME)


def volume() -> bytes:
    pixels = np.repeat(disc_pixels(150).T[:, ::-1, None], 20, axis=2).astype(np.int16)
    return bytes(nibabel.Nifti1Image(pixels[::2, ::2], np.eye(4)).to_bytes())


def multipart(body: bytes, *, whole: bool = True, field: str = "files") -> tuple[bytes, str]:
    head = f'--b\r\nContent-Disposition: form-data; name="{field}"; filename="x"\r\n\r\n'
    return head.encode() + body + (
        b"\r\n--b--\r\n" if whole else b""
    ), "multipart/form-data; boundary=b"


class TestPredict:
    @pytest.mark.parametrize("data", [GOOD, OTHER, disc(0), volume()])
    def test_answers_are_the_classifiers(
        self, client: httpx.Client, classifier: Classifier, data: bytes
    ) -> None:
        [file] = client.post("/predict", files=files(("a", data))).json()["files"]
        expected = classifier.predict([data])[0]
        for answer, prediction in zip(file["slices"], expected, strict=True):
            assert answer["probability"] == pytest.approx(prediction.probability, abs=1e-6)
            assert answer["ood_score"] == pytest.approx(prediction.ood_score, abs=1e-6)
            for name in ("slice", "label", "threshold", "out_of_distribution", "engine", "model",
                         "plane", "aligned", "alignment"):  # fmt: skip
                assert answer[name] == getattr(prediction, name)
            assert answer["warnings"] == list(prediction.warnings)

    def test_a_bad_file_does_not_lose_the_others(self, client: httpx.Client) -> None:
        sent = [("a", GOOD), ("b", TEXT), ("c", b""), ("d", LARGE), ("e", GOOD[:90]), ("f", OTHER)]
        answer = client.post("/predict", files=files(*sent))
        assert answer.status_code == 200
        results = answer.json()["files"]
        assert [result["name"] for result in results] == [name for name, _ in sent]
        codes = [result.get("error", {}).get("code") for result in results]
        bad = ["unsupported_type", "undecodable", "too_large", "undecodable"]
        assert codes == [None, *bad, None]
        assert [("slices" in result) for result in results] == [code is None for code in codes]

    def test_slices_bound_a_volume(self, client: httpx.Client) -> None:
        for count in (1, 4):
            answer = client.post(f"/predict?slices={count}", files=files(("v.nii", volume())))
            [file] = answer.json()["files"]
            assert len({part["slice"] for part in file["slices"]}) == count

    def test_heat_map_comes_when_asked(self, client: httpx.Client) -> None:
        drawn, plainly = (
            client.post(f"/predict?heatmap={option}", files=files(("a", GOOD))).json()
            for option in ("true", "false")
        )
        [picture_answer], [plain] = drawn["files"][0]["slices"], plainly["files"][0]["slices"]
        pictures = {"picture", "heatmap", "strongest_place"}
        assert picture_answer.keys() - plain.keys() == pictures
        assert picture_answer["strongest_place"] > 0
        decoded = []
        for name in ("picture", "heatmap"):
            kind, _, data = picture_answer[name].partition(",")
            assert kind == "data:image/png;base64"
            decoded.append(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))
        assert decoded[0].size == decoded[1].size
        raw, overlay = (np.asarray(picture).astype(int) for picture in decoded)
        assert not np.ptp(raw, axis=2).any()
        assert np.ptp(overlay, axis=2).any()

    @pytest.mark.parametrize("name", ["<img src=x onerror=alert(1)>.png", "Schädel Ä 1.png", "'"])
    def test_names_come_back_as_sent(self, client: httpx.Client, name: str) -> None:
        [file] = client.post("/predict", files=files((name, GOOD))).json()["files"]
        assert file["name"] == name


class TestRefusals:
    @pytest.mark.parametrize(
        ("data", "status", "code", "words"),
        [
            (TEXT, 415, "unsupported_type", "JPEG, PNG"),
            (b"%!PS-Adobe-3.0 EPSF-3.0", 415, "unsupported_type", "DICOM"),
            (b"", 422, "undecodable", "0 bytes"),
            (GOOD[:90], 422, "undecodable", "cannot decode"),
            (bytes(128) + b"DICM" + bytes(50), 422, "undecodable", "DICOM"),
            (LARGE, 413, "too_large", "larger than"),
        ],
    )
    def test_a_single_bad_file_is_refused(
        self, client: httpx.Client, data: bytes, status: int, code: str, words: str
    ) -> None:
        answer = client.post("/predict", files=files(("a", data)))
        assert answer.status_code == status
        error = answer.json()["error"]
        assert error.keys() == {"code", "message"}
        assert error["code"] == code
        assert words in error["message"]

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (encoded("PNG", (9400, 9400), "1"), "9400 x 9400 pixels"),
            (encoded("JPEG", (5001, 5000), progressive=True), "25 megapixels"),
            (directories(20_000), "1000 pages"),
        ],
    )
    def test_a_small_file_that_would_take_long_costs_no_worker(
        self, client: httpx.Client, server: Server, data: bytes, words: str
    ) -> None:
        workers = server.workers()
        assert len(data) < MAX_BYTES
        answer = client.post("/predict", files=files(("a", data)))
        assert answer.elapsed.total_seconds() < 5  # 30 and more before
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
        assert words in answer.json()["error"]["message"]
        assert server.workers() == workers

    @pytest.mark.parametrize(
        ("method", "path", "status", "code"),
        [
            ("GET", "/predict", 405, "method_not_allowed"),
            ("DELETE", "/model", 405, "method_not_allowed"),
            ("GET", "/nothing", 404, "not_found"),
            ("POST", "/docs", 405, "method_not_allowed"),
            ("GET", "/page/../../app.py", 404, "not_found"),
            ("POST", "/predict", 415, "unsupported_type"),
            ("POST", "/predict/", 404, "not_found"),
        ],
    )
    def test_paths_and_methods(
        self, client: httpx.Client, method: str, path: str, status: int, code: str
    ) -> None:
        answer = client.request(method, path)
        assert answer.status_code == status
        assert answer.json()["error"]["code"] == code

    @pytest.mark.parametrize("query", ["slices=0", "slices=17", "slices=x", "heatmap=perhaps"])
    def test_parameters(self, client: httpx.Client, query: str) -> None:
        answer = client.post(f"/predict?{query}", files=files(("a", GOOD)))
        assert answer.status_code == 400
        assert query.split("=")[0] in answer.json()["error"]["message"]

    @pytest.mark.parametrize(
        ("body", "kind"),
        [
            multipart(GOOD, field="image"),
            multipart(GOOD, whole=False),
            (b"nothing", "multipart/form-data; boundary=b"),
            (b"", "multipart/form-data; boundary=b"),
            (b"--b--\r\n", "multipart/form-data; boundary=b"),
            (GOOD, "multipart/form-data"),
            (b'--b\r\nContent-Disposition: form-data; name="files"\r\n\r\nx\r\n--b--\r\n',
             "multipart/form-data; boundary=b"),
        ],
    )  # fmt: skip
    def test_bodies(self, client: httpx.Client, body: bytes, kind: str) -> None:
        answer = client.post("/predict", content=body, headers={"Content-Type": kind})
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["code"] == "bad_request"

    @pytest.mark.parametrize("announced", [True, False])
    def test_a_large_request_is_refused_while_it_arrives(
        self, client: httpx.Client, announced: bool
    ) -> None:
        body, kind = multipart(bytes(50 * MAX_BYTES))
        pieces = body if announced else (body[i : i + 65536] for i in range(0, len(body), 65536))
        answer = client.post("/predict", content=pieces, headers={"Content-Type": kind})
        assert answer.status_code == 413
        assert "request is larger" in answer.json()["error"]["message"]

    def test_too_many_files(self, client: httpx.Client) -> None:
        answer = client.post("/predict", files=files(*[("a", GOOD)] * 33))
        assert answer.status_code == 413
        assert "more than 32 files" in answer.json()["error"]["message"]


class TestAbout:
    def test_health(self, client: httpx.Client, server: Server) -> None:
        health = client.get("/health").json()
        assert health == {"ready": True, "workers": len(server.workers()), "queue": 0}

    def test_model(self, client: httpx.Client) -> None:
        model = client.get("/model").json()
        assert f"{model['name']} version {model['version']}" == NAME
        assert (model["threshold"], model["calibrated"]) == (THRESHOLD, False)
        assert (model["facts"], model["digest"]) == (CARD_FACTS, CARD_FACTS["digest"])
        assert model["limits"]["max_file_bytes"] == MAX_BYTES
        assert "Research only" in model["card"]

    def test_nothing_comes_from_elsewhere_and_answers_are_not_stored(
        self, client: httpx.Client
    ) -> None:
        for path in ("/", "/docs", "/model", "/nothing", "/openapi.json"):
            headers = client.get(path).headers
            assert "default-src 'none'" in headers["Content-Security-Policy"]
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert "server" not in headers
        answer = client.post("/predict", files=files(("a", GOOD)))
        assert answer.headers["Cache-Control"] == "no-store"

    def test_log_names_no_file_and_nothing_a_client_made_up(
        self, client: httpx.Client, server: Server
    ) -> None:
        client.post("/predict?who=Mustermann", files=files(("Mustermann.png", TEXT)))
        client.get("/Mustermann.png")
        log = server.log.read_text(encoding="utf-8")
        assert re.search(r"POST /predict 415 \d+ ms", log)
        assert re.search(r"GET - 404 \d+ ms", log)
        assert "Mustermann" not in log


class TestSchema:
    @pytest.fixture
    def schema(self, client: httpx.Client) -> dict[str, Any]:
        described: dict[str, Any] = client.get("/openapi.json").json()
        return described

    def test_it_is_openapi(self, schema: dict[str, Any]) -> None:
        OpenAPI.model_validate(schema)
        assert set(schema["paths"]) == {"/predict", "/health", "/model"}
        for name, component in schema["components"]["schemas"].items():
            jsonschema.Draft202012Validator.check_schema(component)
            assert name.isidentifier()

    def test_the_docs_name_all_of_it_and_load_nothing_from_elsewhere(
        self, client: httpx.Client, schema: dict[str, Any]
    ) -> None:
        answer = client.get("/docs")
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/html")
        text = answer.text
        assert f"curl -F files=@slice.png {client.base_url}" in text
        for path, methods in schema["paths"].items():
            for method, operation in methods.items():
                assert f"<code>{method.upper()} {path}</code>" in text
                for status in operation["responses"]:
                    assert f"<code>{status}</code>" in text
        for name, component in schema["components"]["schemas"].items():
            for field in component.get("properties", ()):
                assert f"<code>{field}</code>" in text, name
        loaded = re.findall(r'(?:src|<link[^>]* href)="([^"]+)"', text)
        assert loaded == ["data:,", "page.css"]
        assert "<script" not in text

    @pytest.mark.parametrize(
        ("method", "path", "data", "status"),
        [
            ("post", "/predict", GOOD, 200),
            ("post", "/predict", volume(), 200),
            ("post", "/predict", None, 415),
            ("post", "/predict", TEXT, 415),
            ("post", "/predict", LARGE, 413),
            ("post", "/predict", GOOD[:90], 422),
            ("get", "/health", None, 200),
            ("get", "/model", None, 200),
        ],
    )
    def test_answers_are_as_it_says(
        self, client: httpx.Client, schema: dict[str, Any],
        method: str, path: str, data: bytes | None, status: int,
    ) -> None:  # fmt: skip
        sent = files(("a", data)) if data is not None else None
        answer = client.request(method, f"{path}", files=sent)
        assert answer.status_code == status
        response = schema["paths"][path][method]["responses"][str(status)]
        expected = response["content"]["application/json"]["schema"] | {
            "components": schema["components"]
        }
        jsonschema.validate(answer.json(), expected)

    def test_every_error_has_a_form_and_an_example(self, schema: dict[str, Any]) -> None:
        responses = schema["paths"]["/predict"]["post"]["responses"]
        assert set(responses) == {*["200", "400", "408", "413", "415", "422", "500", "503", "504"]}
        for status in set(responses) - {"200"}:
            content = responses[status]["content"]["application/json"]
            assert content["schema"]["$ref"].endswith("/ErrorAnswer")
            assert content["example"]["error"]["message"]

    def test_it_has_every_field_of_a_prediction(self) -> None:
        pictures = {"picture", "heatmap", "strongest_place"}
        assert set(SliceAnswer.model_fields) - pictures == set(Prediction.__dataclass_fields__)


def test_a_name_that_is_not_of_this_machine_is_refused(client: httpx.Client) -> None:
    assert client.get("/model", headers={"Host": "evil.example"}).status_code == 400
