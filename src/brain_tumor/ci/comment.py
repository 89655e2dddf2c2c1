"""Put a report under its pull request, as one comment that later runs replace.

The report may come from a fork, so this runs in a workflow of its own that checks out nothing of
the pull request and needs nothing but Python: `PYTHONPATH=src python3 -m brain_tumor.ci.comment
REPORT`. Which pull request it belongs to is asked of GitHub, never read from the report.
"""

import argparse
import json
import os
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brain_tumor.errors import UserError

MARKER = "<!-- brain-tumor-retrain -->"
_MOST_CHARACTERS = 60_000  # GitHub takes 65,536
_PAGE = 100
_RUN = ("REPOSITORY", "BRANCH", "SHA", "URL")  # variables RUN_..., as comment.yml sets them
_BREAK = "\u200b"  # not seen, but no mention, link or reference goes over it


class CommentError(UserError):
    """GitHub cannot be asked or refuses; holds what it said."""


@dataclass(frozen=True)
class Origin:
    """Where a run came from, as its workflow_run event says.

    Attributes:
        repository: that the branch lies in, as `owner/name`: a fork, or this one.
        branch: its name.
        sha: the commit that ran.
        url: of the run.
    """

    repository: str
    branch: str
    sha: str
    url: str


@dataclass(frozen=True)
class GitHub:
    """The part of GitHub's REST API this needs."""

    api: str
    repository: str
    token: str

    def call(self, method: str, path: str, body: dict[str, str] | None = None) -> Any:
        """Send a request below the repository and decode the answer.

        Raises:
            CommentError: the status is no success, or there is no answer.
        """
        url = f"{self.api}/repos/{self.repository}/{path}"
        request = urllib.request.Request(url, method=method)
        request.add_header("Authorization", f"Bearer {self.token}")
        request.add_header("Accept", "application/vnd.github+json")
        data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(request, data, timeout=30) as answer:
                return json.load(answer)
        except (urllib.error.URLError, TimeoutError, ValueError) as error:
            raise CommentError(f"{method} {url}: {error}") from error


def comment(report: str, origin: Origin, github: GitHub) -> str:
    """Write the report (Markdown) under the open pull request that the run was of.

    Its head is the commit that ran or, where the results have been recorded since, the next.
    Returns a line that says what was done.

    Raises:
        CommentError: GitHub refuses.
    """
    owner = origin.repository.partition("/")[0]
    head = urllib.parse.quote(f"{owner}:{origin.branch}", safe="")
    pulls = github.call("GET", f"pulls?state=open&per_page={_PAGE}&head={head}")
    number = next((pull["number"] for pull in pulls if _is_of(pull, origin, github)), None)
    if number is None:
        return f"no open pull request ends at {origin.sha}: nothing to write to"
    foreign = origin.repository != github.repository
    body = {"body": text(report, origin.url, foreign=foreign)}
    comment_id = next(_own_comments(github, number), None)
    if comment_id is None:
        github.call("POST", f"issues/{number}/comments", body)
        return f"written under #{number}"
    github.call("PATCH", f"issues/comments/{comment_id}", body)
    return f"replaced under #{number}"


def _is_of(pull: dict[str, Any], origin: Origin, github: GitHub) -> bool:
    head = pull["head"]["sha"]
    if head == origin.sha:
        return True
    parents = github.call("GET", f"commits/{head}")["parents"]
    return [parent["sha"] for parent in parents] == [origin.sha]


def text(report: str, url: str, *, foreign: bool) -> str:
    """The comment: the report, cut if it is too long, and where it is from.

    No HTML and no mention is left in it. What comes from a fork says so and links nowhere: it is
    written by whoever wrote the pull request.
    """
    plain = report.replace("&", "&amp;").replace("<", "&lt;").replace("@", f"@{_BREAK}")
    if foreign:
        plain = re.sub(r"(\]|:|#|www)(?=[(/\[\d.])", rf"\1{_BREAK}", plain, flags=re.IGNORECASE)
        plain = re.sub(r"([\\\[\]])", r"\\\1", plain)  # no link, image, reference or definition
        plain = re.sub(r"(`{3}|~{3})", rf"{_BREAK}\1", plain)  # no block that is left open
    if len(plain) > _MOST_CHARACTERS:
        plain = f"{plain[:_MOST_CHARACTERS]}\n\n... (cut)"
    source = "> From a fork, by its own code: unverified.\n\n" if foreign else ""
    return f"{MARKER}\n{source}{plain.strip()}\n\n[Figures and the whole report]({url})\n"


def _own_comments(github: GitHub, number: int) -> Iterator[int]:
    """Ids of the comments that earlier runs wrote."""
    for page in range(1, 100):
        comments = github.call("GET", f"issues/{number}/comments?per_page={_PAGE}&page={page}")
        for comment in comments:
            if comment["user"]["type"] == "Bot" and comment["body"].startswith(MARKER):
                yield int(comment["id"])
        if len(comments) < _PAGE:
            return


def main() -> None:
    """Command line: the report; the rest comes from the environment comment.yml sets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path, help="Markdown")
    arguments = parser.parse_args()
    try:
        origin = Origin(*(os.environ[f"RUN_{name}"] for name in _RUN))
        names = ("GITHUB_API_URL", "GITHUB_REPOSITORY", "GITHUB_TOKEN")
        github = GitHub(*(os.environ[name] for name in names))
        print(comment(arguments.report.read_text(encoding="utf-8"), origin, github))
    except KeyError as error:
        sys.exit(f"error: {error.args[0]} is not set; see .github/workflows/comment.yml")
    except (CommentError, OSError, UnicodeDecodeError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
