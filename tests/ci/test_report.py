"""What the report says of runs that ended, stopped, promoted, or only would have."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from brain_tumor.ci.facts import Facts
from brain_tumor.ci.report import headline, listing, number, render, write_failure
from brain_tumor.data.compare import compare

STAGES = ("validate", "train", "register")
SAME = compare(
    {"no/1.png": "a", "yes/1.png": "b"}, {"no/1.png": "a", "yes/1.png": "b"}, ["no", "yes"]
)
GROWN = compare(
    {"no/1.png": "a", "yes/1.png": "b", "no/gone.png": "c"},
    {"no/1.png": "a", "no/2.png": "b", "yes/<b>|new.png": "d"},
    ["no", "yes"],
)


def decision(alias: str) -> dict[str, Any]:
    pair = {
        "this": {"images_per_class": 7, "metric": 0.9, "log_loss": 0.31},
        "champion": {"images_per_class": 7, "metric": 0.85, "log_loss": 0.4},
    }
    reason = "better on validation" if alias == "champion" else "no better on validation"
    return {"alias": alias, "reason": reason, "champion_version": "1", "val": pair, "test": pair}


def facts(**changes: Any) -> Facts:
    registered = {"name": "net", "version": "2", "alias": "challenger"}
    plain = Facts(
        base="b" * 40,
        commit="c" * 40,
        stages=STAGES,
        rerun=frozenset({"train"}),
        unfinished=(),
        data=SAME,
        validation={"ok": True, "errors": [], "warnings": [], "excluded": [], "expectations": []},
        known_warnings=frozenset(),
        params={},
        metrics={
            "test.accuracy": (0.8, 0.9),
            "test.accuracy.low": (0.7, 0.8),
            "test.accuracy.high": (0.88, 0.95),
            "val.log_loss": (None, 0.25),
        },
        registered=registered | {"decision": decision("champion")},
        promotion=None,
        drift=None,
        server=True,
        failed=False,
    )
    return replace(plain, **changes)


NASTY = "no/a\n# Approved\n`](//evil) ``x`[ok](//evil)<b>|\x1b[2J.png"


def test_names_in_a_report_are_names_and_nothing_else() -> None:
    remark = {"path": NASTY, "reason": f"same bytes as {NASTY}"}
    validation = {"ok": False, "errors": [remark] * 2, "warnings": [remark], "excluded": [remark]}
    unmet = {"name": "no copies", "observed": f"a; {NASTY}", "success": False}
    grown = compare({"no/1.png": "a", NASTY: "b"}, {NASTY: "a", "yes/1.png": "c"}, ["no", "yes"])
    page = render(
        facts(
            data=grown,
            validation=validation | {"expectations": [unmet]},
            params={f"validate.{NASTY}": (NASTY, [NASTY])},
            unfinished=(NASTY,),
        )
    )
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(page)
    inline = [child for token in tokens for child in token.children or []]
    headings = [token.map[0] for token in tokens if token.type == "heading_open" and token.map]
    lines = page.splitlines()
    assert not [lines[line] for line in headings if "Approved" in lines[line] and line > 0]
    assert not {token.type for token in [*tokens, *inline]} & {"link_open", "image", "html_inline"}
    assert page.replace("\n", "").replace("\u200b", "").isprintable()


WAITS = {"uri": "models:/net/2", "alias": "challenger"}
FIRST = {"name": "net", "version": "1", "alias": "challenger"} | {
    "decision": decision("champion") | {"champion_version": None}
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "net version 2 would become @champion"),
        (
            {
                "registered": {"name": "n", "version": "3", "alias": "challenger"}
                | {"decision": decision("challenger")}
            },
            "n version 3 would not become @champion",
        ),
        (
            {"promotion": {"uri": "models:/net/2", "alias": "champion"}},
            "net version 2 is @champion",
        ),
        (
            {"promotion": WAITS | {"decision": decision("challenger")}},
            "The champion stays; net version 2 waits",
        ),
        (
            {
                "promotion": WAITS
                | {"decision": decision("challenger") | {"guesses": {"gains": {}}}}
            },
            "net version 2 waits as @challenger: there is no champion",
        ),
        ({"registered": FIRST}, "net version 1 is registered; no champion can be seen from here"),
        ({"failed": True}, "The pipeline ended with net version 2, but a step after it failed"),
        ({"unfinished": ("train", "register")}, "Stopped: stage train did not finish"),
        ({"registered": None}, "Stopped: stage register did not finish"),
    ],
)
def test_first_line_says_what_happened(changes: dict[str, Any], message: str) -> None:
    assert headline(facts(**changes)).startswith(message)


def test_bad_data_are_named_and_no_old_figures_shown() -> None:
    bad = {
        "ok": False,
        "errors": [{"path": "no/broken.png", "reason": "broken image: truncated"}],
        "warnings": [],
        "excluded": [],
        "expectations": [
            {"name": "enough images", "success": False, "observed": "3", "severity": "critical"},
            {"name": "none is blank", "success": False, "observed": "1", "severity": "warning"},
        ],
    }
    page = render(facts(validation=bad, unfinished=STAGES))
    assert page.startswith("# Stopped before training")
    assert "- `no/broken.png`: broken image: truncated" in page
    assert "- expectation not met: enough images (observed: 3)" in page
    assert "none is blank" not in page
    for section in ("## Metrics", "## Model", "## Drift"):
        assert section not in page
    assert "| `validate` | not finished |" in page


def test_changes_of_the_data_are_listed_by_kind() -> None:
    page = render(facts(data=GROWN))
    assert "| `no/` | 2 | 2 |" in page
    assert "**1 added**\n\n- `yes/<b>|new.png`" in page
    assert "**1 removed**\n\n- `no/gone.png`" in page
    assert "**1 relabelled**\n\n- `yes/1.png` is now `no/2.png`" in page
    assert "do not compare like with like" in page
    assert "do not compare like with like" not in render(facts())


def test_figures_have_their_intervals_and_what_is_new_no_change() -> None:
    page = render(facts())
    assert "| test | accuracy | 0.800 [0.700, 0.880] | 0.900 [0.800, 0.950] | +0.100 |" in page
    assert "| val | log loss |  | 0.250 |  |" in page


def test_champion_and_new_model_stand_side_by_side() -> None:
    page = render(facts())
    assert "| images | figure | champion (version 1) | new |" in page
    assert "| test | log loss | 0.400 | 0.310 | 7 |" in page


def test_new_warnings_are_told_from_known_ones() -> None:
    old, new = {"path": "a", "reason": "odd"}, {"path": "b", "reason": "odd too"}
    report = facts().validation
    assert report is not None
    known = frozenset({("a", "odd")})
    page = render(facts(validation={**report, "warnings": [old, new]}, known_warnings=known))
    assert "2 in all, 1 of them new.\n\n- `b`: odd too" in page


def test_drift_warnings_stand_out() -> None:
    drift = {"champion": "models:/net/1", "images": {"new": 4}, "note": "", "warnings": ["larger"]}
    assert "4 images are new to the champion (models:/net/1).\n\n- **Warning**: larger" in render(
        facts(drift=drift)
    )


def test_parameters_are_shown_as_params_yaml_has_them() -> None:
    changed = {"train.rate": (1e-3, "tuned"), "tune.log": (None, True)}
    page = render(facts(params=changed))
    assert "| `train.rate` | 0.001 | tuned |\n| `tune.log` |  | true |" in page


def test_page_without_a_server_says_what_that_means() -> None:
    assert "mlflow-store" in render(facts(server=False))
    assert "mlflow-store" not in render(facts())


def test_only_the_report_itself_shows_figures() -> None:
    assert "![loss.png](figures/loss.png)" in render(facts(), ["figures/loss.png"])
    assert "![" not in render(facts())


def test_numbers_have_as_many_digits_as_say_something() -> None:
    values = [None, 0.0, 12.3456, 1e-5, 3]
    assert [number(value) for value in values] == ["", "0.000", "12.346", "1e-05", "3.000"]


def test_long_lists_say_how_many_more() -> None:
    assert listing([str(number) for number in range(25)]).endswith("- 19\n- ... and 5 more")


def test_run_of_which_nothing_can_be_told_still_has_a_report(tmp_path: Path) -> None:
    write_failure("params.yaml: line 3\nis no YAML", tmp_path)
    pages = {name: (tmp_path / name).read_text() for name in ("report.md", "summary.md")}
    assert pages["report.md"] == pages["summary.md"]
    assert "`params.yaml: line 3 is no YAML`" in pages["report.md"]
