"""The report in a real browser: whole, readable, and from nowhere else."""

import re
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import pytest

from brain_tumor.report.document import document
from brain_tumor.report.model_sections import thumbnails
from brain_tumor.report.prose import make_card
from tests.report import evidence_files, stage_files
from tests.serving.browser import NAMES, Page, browser_page, find_browser
from tests.serving.test_page import LOW_CONTRAST

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not find_browser(), reason=f"no browser: none of {', '.join(NAMES)}"),
]
# What is wider than the window, but for what scrolls by itself.
TOO_WIDE = """[...document.querySelectorAll('body *')]
  .filter((one) => !one.closest('.scroll, svg'))
  .filter((one) => one.getBoundingClientRect().right > innerWidth + 1)
  .map((one) => one.outerHTML.slice(0, 80))"""
# Identifiers that stand twice, and references that lead nowhere.
BROKEN = """(() => {
  const ids = [...document.querySelectorAll('[id]')].map((one) => one.id);
  const twice = ids.filter((id, place) => ids.indexOf(id) !== place);
  const lost = [...document.querySelectorAll('[href^="#"]')].map((one) => one.getAttribute('href'))
    .filter((href) => !document.getElementById(href.slice(1)));
  return [...twice, ...lost];
})()"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with every section filled."""
    root = tmp_path_factory.mktemp("report")
    inputs = evidence_files.inputs(root)
    card = make_card(inputs, stage_files.NAME)
    pictures = thumbnails(
        stage_files.paths_in(root).images, [failure.path for failure in card.failures]
    )
    path = root / "report.html"
    path.write_text(document(inputs, card, pictures), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def page(report: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser_page(tmp_path_factory.mktemp("profile")) as opened:
        opened.size(1280)
        opened.open(report.as_uri())
        yield opened


def test_nothing_is_asked_for_but_the_file_and_nothing_complains(page: Page, report: Path) -> None:
    asked = [url for url in page.requests() if not url.startswith("data:image/")]
    assert asked == [report.as_uri()]
    assert page.complaints() == []


def test_links_lead_somewhere_and_identifiers_are_unique(page: Page) -> None:
    assert page.run(BROKEN) == []


@pytest.mark.parametrize("width", [320, 360, 800, 1500])
def test_nothing_is_wider_than_the_window(page: Page, width: int) -> None:
    page.size(width)
    assert page.run("document.documentElement.scrollWidth") <= width
    assert page.run(TOO_WIDE) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(page: Page, scheme: str) -> None:
    page.size(1280)
    page.media(prefers_color_scheme=scheme)
    contrast = page.run(LOW_CONTRAST)
    assert contrast["counted"] > 100
    assert contrast["low"] == []


@pytest.mark.parametrize(("scheme", "ink"), [("light", "27, 36, 49"), ("dark", "230, 234, 239")])
def test_drawings_follow_the_colours_of_the_page(page: Page, scheme: str, ink: str) -> None:
    page.media(prefers_color_scheme=scheme)
    fills = page.run(
        "[...document.querySelectorAll('figure svg g')].map((one) => getComputedStyle(one).fill)"
    )
    assert f"rgb({ink})" in fills


def test_a_screen_reader_meets_every_figure_and_table_by_name(page: Page) -> None:
    names = page.names()
    assert sum(role in ("img", "image") and bool(name) for role, name in names) == page.run(
        "document.querySelectorAll('figure').length"
    )
    tables = [name for role, name in names if role == "table"]
    assert len(tables) == page.run("document.querySelectorAll('table').length")
    assert all(name.startswith("Table ") for name in tables)


def test_on_paper_it_is_light_and_nothing_is_cut_off(page: Page) -> None:
    page.media(prefers_color_scheme="dark")
    page.size(698)  # A4 less the margins, at 96 dpi
    page.send("Emulation.setEmulatedMedia", media="print")
    assert page.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.run("getComputedStyle(document.body).color") == "rgb(27, 36, 49)"
    wide = "[...document.querySelectorAll('table, svg')].map((one) => one.getBoundingClientRect())"
    assert page.run(f"{wide}.filter((box) => box.right > innerWidth + 1).length") == 0
    assert page.run("getComputedStyle(document.querySelector('.new-page')).breakBefore") == "page"
    printed = b64decode(page.send("Page.printToPDF", preferCSSPageSize=True)["data"])
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) > 5
    page.send("Emulation.setEmulatedMedia", media="")
