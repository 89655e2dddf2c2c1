"""The page in a real browser: what it shows, for whom, and that nothing comes from elsewhere."""

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from brain_tumor.inference.classifier import Classifier
from tests.inference.toy import NAME, THRESHOLD, disc
from tests.serving.browser import NAMES, Page, browser_page, find_browser
from tests.serving.serving import Server, serving

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not find_browser(), reason=f"no browser: none of {', '.join(NAMES)}"),
]
EVIL = "<img src=x onerror=document.title='hacked'>.png"
DONE = "document.getElementById('status').textContent.startsWith('Done')"
# WCAG 2.2: contrast of text with the colours behind it, and what is too low for its size.
LOW_CONTRAST = """(() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * (top[3] ?? 1) + below[i] * (1 - (top[3] ?? 1)));
  const behind = (node) => {
    const layers = [];
    for (let at = node; at; at = at.parentElement) layers.push(parse(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255]);
  };
  const light = (colour) => {
    const [r, g, b] = colour.map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const [low, counted] = [[], new Set()];
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !node.checkVisibility({ visibilityProperty: true })) continue;
    const style = getComputedStyle(node);
    const [text, ground] = [parse(style.color), behind(node)];
    const [a, b] = [light(over(text, ground)), light(ground)].sort((x, y) => y - x);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    counted.add(node);
    if ((a + 0.05) / (b + 0.05) < (large ? 3 : 4.5)) low.push(`${node.tagName} ${walker.currentNode.data} ${style.color} on ${ground}`);
  }
  return { low, counted: counted.size };
})()"""  # noqa: E501


@pytest.fixture(scope="module")
def server(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(toy, tmp_path_factory.mktemp("log"), "--max-mb", "1") as started:
        yield started


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "disc.png").write_bytes(disc(150))
    (folder / "blank.png").write_bytes(disc(0))
    (folder / EVIL).write_bytes(disc(200))
    (folder / "letter.txt").write_text("Dear colleague", encoding="utf-8")
    (folder / "letters").mkdir()
    (folder / "letters" / EVIL).write_text("Dear colleague", encoding="utf-8")
    (folder / "large.png").write_bytes(disc(150)[:8] + bytes(1_100_000))
    return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser_page(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture
def page(browser: Page, server: Server) -> Page:
    """The page as it first shows."""
    browser.size(1000)
    browser.media(prefers_color_scheme="light")
    browser.open("about:blank")
    browser.events.clear()
    browser.open(f"{server.url}/")
    browser.wait_for("!document.getElementById('about').hidden")
    return browser


def looked_at(page: Page, *files: Path) -> str:
    """The text of the page when files have been looked at."""
    page.choose("#files", *files)
    page.wait_for(DONE)
    text: str = page.run("document.body.innerText")
    return text


def test_nothing_goes_wrong_and_nothing_comes_from_elsewhere(
    page: Page, server: Server, pictures: Path
) -> None:
    looked_at(page, pictures / "disc.png", pictures / "blank.png")
    assert page.complaints() == []
    urls = [url for url in page.requests() if not url.startswith("data:image/")]
    assert len(urls) > 5
    assert all(url.startswith(f"{server.url}/") for url in urls), urls


def test_a_picture_shows_all_there_is_to_say(page: Page, toy: Path, pictures: Path) -> None:
    text = looked_at(page, pictures / "disc.png")
    classifier = Classifier.load(toy / "artifacts" / "bundle", "fast", NAME)
    [[prediction]] = classifier.predict([(pictures / "disc.png").read_bytes()])
    assert f"{prediction.probability:.3f}" in text
    assert f"Tumour: {prediction.label} at threshold {THRESHOLD:.2f}" in text
    assert "score, not a chance" in text
    assert "Research only. Not for diagnosis." in text
    assert page.run("document.querySelector('.warnings:not(main > noscript *)').hidden")
    mark = page.run("""(() => {
      const track = document.querySelector('.track').getBoundingClientRect();
      const part = (one) => document.querySelector(one).getBoundingClientRect();
      return [(part('.fill').right - track.left) / track.width,
              (part('.mark').left + 2 - track.left) / track.width];
    })()""")
    assert mark == pytest.approx([prediction.probability, THRESHOLD], abs=0.02)


def test_heat_map_can_be_taken_off(page: Page, pictures: Path) -> None:
    looked_at(page, pictures / "disc.png")
    shown = "[...document.querySelectorAll('.stage img')].map((one) => one.checkVisibility())"
    assert page.run(shown) == [False, True]
    page.run("document.querySelector('.views input[value=picture]').click()")
    assert page.run(shown) == [True, False]
    widths = page.run("[...document.querySelectorAll('.stage img')].map((one) => one.naturalWidth)")
    assert widths == [512, 512]


def test_strange_pictures_are_doubted_first(page: Page, pictures: Path) -> None:
    text = looked_at(page, pictures / "blank.png")
    assert "probability means little" in text
    assert text.index("probability means little") < text.index("Tumour: no?")
    assert "Unlike the training images: 1." in text


def test_bad_files_are_told_in_plain_words_beside_the_good(page: Page, pictures: Path) -> None:
    names = ("letter.txt", "disc.png", "large.png", EVIL)
    text = looked_at(page, *(pictures / name for name in names))
    assert "not a kind of file that is taken" in text
    assert "This file is too large." in text
    assert "Files that could not be looked at: 2." in text
    order = page.run("[...document.querySelectorAll('#list h3')].map((one) => one.textContent)")
    assert order == list(names)


def test_names_of_files_are_text(page: Page, pictures: Path) -> None:
    looked_at(page, pictures / EVIL, pictures / "letters" / EVIL)
    assert page.run("document.title") != "hacked"
    assert page.run("document.querySelectorAll('#list h3').length") == 2
    assert page.run("document.querySelectorAll('#list h3 *').length") == 0


def test_the_card_is_there(page: Page) -> None:
    text = page.run("document.getElementById('about').innerText")
    assert "40 test images (20 no, 20 yes)" in text
    assert "accuracy 0.90 (0.77 to 0.96)" in text
    assert "read one at a time" in text
    page.run("document.querySelector('#card summary').click()")
    card = page.run("document.getElementById('card-body').innerText")
    for fact in ("0.93 (0.84 to 0.98)", "60\t103", "random", "ab" * 32):
        assert fact in card


def test_keyboard_alone_is_enough(page: Page, pictures: Path) -> None:
    looked_at(page, pictures / "disc.png")
    page.run("document.activeElement.blur(), scrollTo(0, 0)")
    visited = []
    for _ in range(8):
        page.press("Tab")
        visited.append(page.run("document.activeElement.id || document.activeElement.localName"))
        around = {"files": ".parentElement", "input": ".nextElementSibling"}.get(visited[-1], "")
        outline = page.run(f"getComputedStyle(document.activeElement{around}).outline")
        assert visited[-1] == "body" or "solid 3px" in outline
        if visited[-1] == "input":
            page.press("ArrowLeft")
            assert page.run("document.querySelector('.picture').checkVisibility()")
    assert visited[:6] == ["files", "slices", "clear", "input", "summary", "a"]
    page.run("document.getElementById('clear').focus()")
    page.press("Enter")
    assert page.run("document.getElementById('list').children.length") == 0
    assert page.run("document.activeElement.id") == "files"


def test_work_can_be_cancelled(page: Page, pictures: Path) -> None:
    page.run("window.fetchOnce = fetch; window.fetch = (path, how) => new Promise((_, no) =>"
             " how.signal.addEventListener('abort', () => no(how.signal.reason)))")  # fmt: skip
    page.choose("#files", pictures / "disc.png", pictures / "blank.png", pictures / EVIL)
    page.wait_for("!document.getElementById('busy').hidden")
    assert page.run("document.getElementById('results').ariaBusy") == "true"
    page.run("document.getElementById('cancel').click()")
    page.wait_for("document.getElementById('status').textContent.startsWith('Cancelled')")
    assert page.run("document.getElementById('list').children.length") == 0
    page.run("window.fetch = window.fetchOnce")
    assert "Slices labelled" in looked_at(page, pictures / "disc.png")


def test_a_dropped_file_is_looked_at(page: Page, pictures: Path) -> None:
    data = json.dumps(list((pictures / "disc.png").read_bytes()))
    page.run(f"""(() => {{
      const files = new DataTransfer();
      files.items.add(new File([new Uint8Array({data})], 'dropped.png'));
      document.body.dispatchEvent(new DragEvent('drop', {{ dataTransfer: files, bubbles: true }}));
    }})()""")
    page.wait_for(DONE)
    assert page.run("document.querySelector('#list h3').textContent") == "dropped.png"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1000])
def test_it_can_be_read(page: Page, pictures: Path, scheme: str, width: int) -> None:
    page.media(prefers_color_scheme=scheme)
    page.size(width)
    looked_at(page, pictures / "disc.png", pictures / "blank.png", pictures / "letter.txt")
    page.run("document.getElementById('card').open = true")
    assert page.run("document.documentElement.scrollWidth") <= width
    contrast = page.run(LOW_CONTRAST)
    assert contrast["low"] == []
    assert contrast["counted"] > 50
    ground = page.run("getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]")
    assert (int(ground) < 128) == (scheme == "dark")


def test_a_screen_reader_finds_its_way(page: Page, pictures: Path) -> None:
    looked_at(page, pictures / "disc.png", pictures / "blank.png")
    names = page.names()
    needed = {"button", "spinbutton", "radio", "image", "link", "region", "img", "progressbar"}
    nameless = [role for role, name in names if role in needed and not name]
    assert nameless == []
    roles = {role for role, _ in names}
    assert {"main", "heading", "status", "radio", "list"} <= roles
    assert ("image", "disc.png, with the heat map over it") in names
    assert any(name.startswith("Probability 0.") and "threshold 0.60" in name for _, name in names)
    assert page.run("document.documentElement.lang") == "en"
    assert page.run("document.getElementById('status').ariaLive") == "polite"
    levels = page.run("[...document.querySelectorAll('h1,h2,h3')].map((one) => +one.tagName[1])")
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    labelled = "[...document.querySelectorAll('input')].every((one) => one.labels.length === 1)"
    assert page.run(labelled)


def test_motion_is_spared_who_wants_none(page: Page, pictures: Path) -> None:
    page.media(prefers_reduced_motion="reduce")
    looked_at(page, pictures / "disc.png")
    assert page.run("getComputedStyle(document.querySelector('.fill')).transitionDuration") == "0s"
    page.media(forced_colors="active")
    fill = "getComputedStyle(document.querySelector('.fill')).backgroundColor"
    track = "getComputedStyle(document.querySelector('.track')).backgroundColor"
    assert page.run(fill) != page.run(track)
