"""Writing a report under a pull request, against a server that speaks GitHub's REST API."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from markdown_it import MarkdownIt

from brain_tumor.ci.comment import MARKER, CommentError, GitHub, Origin, comment, text
from tests.ci.actions import jobs
from tests.small_project import ROOT

REPOSITORY = "owner/project"
ORIGIN = Origin("visitor/project", "more-images", "a" * 40, "https://example.org/run/1")


@dataclass
class State:
    """What the server has: open pull requests (number to head), comments, parents of commits."""

    pulls: dict[int, tuple[str, str]] = field(default_factory=dict)
    comments: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    parents: dict[str, str] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)

    def add(self, number: int, author: str, body: str) -> None:
        """A comment of somebody."""
        kind = "Bot" if author.endswith("[bot]") else "User"
        one = {"id": 1000 * number + len(self.comments.setdefault(number, [])), "body": body}
        self.comments[number].append(one | {"user": {"login": author, "type": kind}})


class Handler(BaseHTTPRequestHandler):
    """The routes that are used, as the API's reference describes them."""

    state: State

    def do_GET(self) -> None:
        path, query = self.asked()
        if path == "/pulls":
            [head] = query["head"]
            found = [
                {"number": number, "head": {"sha": sha}}
                for number, (label, sha) in self.state.pulls.items()
                if label == head and query["state"] == ["open"]
            ]
            return self.answer(200, found)
        if match := re.fullmatch(r"/issues/(\d+)/comments", path):
            size, page = int(query["per_page"][0]), int(query["page"][0])
            listed = self.state.comments.get(int(match[1]), [])
            return self.answer(200, listed[size * (page - 1) : size * page])
        if match := re.fullmatch(r"/commits/(\w+)", path):
            parent = self.state.parents.get(match[1], "0" * 40)
            return self.answer(200, {"parents": [{"sha": parent}]})
        return self.answer(404, {"message": "Not Found"})

    def do_POST(self) -> None:
        match = re.fullmatch(r"/issues/(\d+)/comments", self.asked()[0])
        assert match
        self.state.add(int(match[1]), "ci[bot]", self.body())
        self.answer(201, {})

    def do_PATCH(self) -> None:
        match = re.fullmatch(r"/issues/comments/(\d+)", self.asked()[0])
        assert match
        every = [one for listed in self.state.comments.values() for one in listed]
        next(one for one in every if one["id"] == int(match[1]))["body"] = self.body()
        self.answer(200, {})

    def asked(self) -> tuple[str, dict[str, list[str]]]:
        self.state.tokens.add(self.headers["Authorization"])
        parts = urlsplit(self.path)
        prefix = f"/repos/{REPOSITORY}"
        assert parts.path.startswith(prefix)
        return parts.path.removeprefix(prefix), parse_qs(parts.query)

    def body(self) -> str:
        return str(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["body"])

    def answer(self, status: int, value: Any) -> None:
        if self.state.tokens != {"Bearer secret"}:
            status, value = 401, {"message": "Bad credentials"}
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def state() -> State:
    return State(pulls={7: ("visitor:more-images", "a" * 40), 8: ("visitor:other", "a" * 40)})


@pytest.fixture
def github(state: State) -> Iterator[GitHub]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Routes", (Handler,), {"state": state}))
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield GitHub(f"http://127.0.0.1:{server.server_port}", REPOSITORY, "secret")
    server.shutdown()
    thread.join()
    server.server_close()


def test_report_is_written_once_and_then_replaced(github: GitHub, state: State) -> None:
    state.add(7, "visitor", f"{MARKER} not of this making")
    for index in range(120):  # more than a page
        state.add(7, "reviewer", f"remark {index}")
    assert comment("first", ORIGIN, github) == "written under #7"
    assert comment("second", ORIGIN, github) == "replaced under #7"
    assert len(state.comments[7]) == 122
    assert "second" in state.comments[7][-1]["body"]
    assert state.comments[7][0]["body"].endswith("not of this making")
    assert 8 not in state.comments


def test_pull_request_that_has_moved_on_is_left_alone(github: GitHub, state: State) -> None:
    state.pulls[7] = ("visitor:more-images", "b" * 40)
    assert "no open pull request" in comment("late", ORIGIN, github)
    assert state.comments == {}


def test_recorded_results_are_still_of_the_run(github: GitHub, state: State) -> None:
    state.pulls[7] = ("owner:more-images", "b" * 40)
    state.parents["b" * 40] = "a" * 40
    origin = Origin(REPOSITORY, "more-images", "a" * 40, "https://example.org/run/1")
    assert comment("[page](figures/x.png)", origin, github) == "written under #7"
    assert "[page](figures/x.png)" in state.comments[7][0]["body"]
    assert "unverified" not in state.comments[7][0]["body"]


def test_branch_names_are_quoted(github: GitHub, state: State) -> None:
    state.pulls[9] = ("visitor:a&state=closed #1", "c" * 40)
    origin = Origin("visitor/project", "a&state=closed #1", "c" * 40, "https://example.org")
    assert comment("report", origin, github) == "written under #9"


def test_refusal_is_reported_with_what_was_asked(github: GitHub) -> None:
    wrong = GitHub(github.api, github.repository, "stale")
    with pytest.raises(CommentError, match=r"GET http.*/pulls.*401"):
        comment("report", ORIGIN, wrong)


@pytest.mark.parametrize(
    "evil",
    [
        "[Approve here]\n\n[Approve here]: https://evil.example",
        "[Approve here]\n\n[Approve here]: //evil.example",
        "[Approve here]\n\n[Approve here]:\n  <//evil.example>",
        "\\[Approve here](//evil.example)",
        "![Approve here]\n\n[approve  HERE]: /evil",
        "[^1]\n\n[^1]: note",
        "<https://evil.example>",
        "HTTPS://evil.example WWW.evil.example ftp://evil.example",
        "&#64;everyone &commat;everyone",
        "> [!IMPORTANT]\n> Approve",
        "- [ ] approve",
        '```mermaid\nclick A href "https://evil.example"\n',
        "~~~\nleft open",
    ],
)
def test_nothing_that_a_stranger_writes_becomes_a_link_an_image_or_a_block(evil: str) -> None:
    written = text(evil, "https://example.org/1", foreign=True)
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(written)
    inline = [child for token in tokens for child in token.children or []]
    links = [token.attrs["href"] for token in inline if token.type == "link_open"]
    assert links == ["https://example.org/1"]
    kinds = {token.type for token in [*tokens, *inline]}
    assert not kinds & {"image", "fence", "html_inline", "code_block"}
    shown = "".join(token.content for token in inline if token.type != "link_open")
    assert not re.search(r"://|www\.|@\w", shown, re.IGNORECASE)


def test_report_of_a_stranger_says_so_mentions_nobody_and_links_nowhere() -> None:
    evil = "@everyone <img src=x> [ok](https://evil) ![x][1] #12 www.evil" + "x" * 100_000
    written = text(evil, "https://example.org/1", foreign=True)
    body = written.removeprefix(MARKER).removesuffix("(https://example.org/1)\n")
    for part in ("@everyone", "<", "](", "://", "][", "#12", "www."):
        assert part not in body.removesuffix("[Figures and the whole report]")
    assert "From a fork" in body
    assert len(written) < 65_536


def test_the_workflows_command_needs_python_alone(
    github: GitHub, state: State, tmp_path: Path
) -> None:
    [step] = [one for one in jobs("comment.yml")["comment"]["steps"] if "run" in one]
    (tmp_path / "temporary" / "report").mkdir(parents=True)
    (tmp_path / "temporary" / "report" / "summary.md").write_text("the report", encoding="utf-8")
    (tmp_path / "src").symlink_to(ROOT / "src")
    given = dict.fromkeys(step["env"], "") | {
        "GITHUB_API_URL": github.api,
        "GITHUB_REPOSITORY": github.repository,
        "GITHUB_TOKEN": github.token,
        "PYTHONPATH": step["env"]["PYTHONPATH"],
        "RUN_REPOSITORY": ORIGIN.repository,
        "RUN_BRANCH": ORIGIN.branch,
        "RUN_SHA": ORIGIN.sha,
        "RUN_URL": ORIGIN.url,
    }
    command = shlex.split(step["run"].replace("$RUNNER_TEMP", "temporary"))
    assert command.pop(0) == "python3"
    done = subprocess.run(
        [sys.executable, "-S", *command],  # -S: no installed package is found
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]} | given,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "written under #7\n"
    assert "the report" in state.comments[7][0]["body"]
