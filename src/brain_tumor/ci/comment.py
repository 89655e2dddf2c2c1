"""Put a report under its pull request, as one comment that later runs replace.

The report may come from a fork, so this runs in a workflow of its own that checks out nothing of
the pull request and needs nothing but Python: `PYTHONPATH=src python3 -m brain_tumor.ci.comment
REPORT`. Which pull request it belongs to is asked of GitHub, never read from the report.
"""

import argparse
import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MARKER = "<!-- brain-tumor-retrain -->"
_MOST_CHARACTERS = 60_000  # GitHub takes 65,536
_PAGE = 100


class CommentError(ValueError):
    """GitHub cannot be asked or refuses; holds what it said."""


@dataclass(frozen=True)
class Origin:
    """Where a run came from, as its workflow_run event says.

    Attributes:
        owner: of the repository the branch lies in (a fork's, or this one's).
        branch: its name.
        sha: the commit that ran.
        url: of the run.
    """

    owner: str
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
    """Write the report under the open pull request whose head is the commit that ran.

    Args:
        report: Markdown.
        origin: of the run.
        github: where to.

    Returns:
        What was done, in a line.

    Raises:
        CommentError: GitHub refuses.
    """
    head = urllib.parse.quote(f"{origin.owner}:{origin.branch}", safe="")
    found = github.call("GET", f"pulls?state=open&per_page={_PAGE}&head={head}")
    numbers = [pull["number"] for pull in found if pull["head"]["sha"] == origin.sha]
    if not numbers:
        return f"no open pull request ends at {origin.sha}: nothing to write to"
    body = {"body": text(report, origin.url)}
    ours = next(_ours(github, numbers[0]), None)
    if ours is None:
        github.call("POST", f"issues/{numbers[0]}/comments", body)
        return f"written under #{numbers[0]}"
    github.call("PATCH", f"issues/comments/{ours}", body)
    return f"replaced under #{numbers[0]}"


def text(report: str, url: str) -> str:
    """The comment: the report without HTML, mentions and what is too long, and where it is from."""
    plain = report.replace("<", "&lt;").replace("@", "@\u200b")
    if len(plain) > _MOST_CHARACTERS:
        plain = f"{plain[:_MOST_CHARACTERS]}\n\n... (cut)"
    return f"{MARKER}\n{plain.strip()}\n\n[Figures and the whole report]({url})\n"


def _ours(github: GitHub, number: int) -> Iterator[int]:
    """Ids of the comments that earlier runs wrote."""
    for page in range(1, 100):
        listed = github.call("GET", f"issues/{number}/comments?per_page={_PAGE}&page={page}")
        for one in listed:
            if one["user"]["type"] == "Bot" and one["body"].startswith(MARKER):
                yield int(one["id"])
        if len(listed) < _PAGE:
            return


def main() -> None:
    """Command line: the report; the rest comes from the environment comment.yml sets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path, help="Markdown")
    given = parser.parse_args()
    try:
        origin = Origin(*(os.environ[f"RUN_{name}"] for name in ("OWNER", "BRANCH", "SHA", "URL")))
        names = ("GITHUB_API_URL", "GITHUB_REPOSITORY", "GITHUB_TOKEN")
        github = GitHub(*(os.environ[name] for name in names))
        print(comment(given.report.read_text(encoding="utf-8"), origin, github))
    except KeyError as error:
        sys.exit(f"error: {error.args[0]} is not set; see .github/workflows/comment.yml")
    except (CommentError, OSError, UnicodeDecodeError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
