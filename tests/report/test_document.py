"""The report holds what was found, and says what is not there."""

import json
import re
from dataclasses import asdict
from html import unescape
from pathlib import Path

import pandas as pd
import pytest
from tests.report import evidence_made, made
from tests.report.test_checklist import SECTIONS

from brain_tumor.report.card import CARD_FILE, CARD_TEXT, REPORT_FILE, read_card
from brain_tumor.report.card_markdown import markdown
from brain_tumor.report.checklist import PENDING
from brain_tumor.report.document import document
from brain_tumor.report.gather import make_card
from brain_tumor.report.sources import Sources
from brain_tumor.stages import report as stage


def run(root: Path, sources: Sources) -> tuple[Path, str]:
    """Run the stage; its folder, and the page as a reader sees it."""
    split = root / "split.csv"
    split.write_text("path,label,split,group\n", encoding="utf-8")
    stage.main(
        **asdict(sources), split=split, report=root / "report", params=made.params_file(root)
    )
    return root / "report", shown((root / "report" / REPORT_FILE).read_text(encoding="utf-8"))


def shown(html: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<(style|[^>]+)>", "", html)))


def spaced(html: str) -> str:
    """As `shown`, with a space wherever a cell ends."""
    return shown(re.sub(r"</t[dh]>", " ", html))


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sources:
    monkeypatch.chdir(tmp_path)
    return made.write(tmp_path)


def test_the_stage_writes_page_and_card_that_agree(tmp_path: Path, sources: Sources) -> None:
    folder, text = run(tmp_path, sources)
    card = read_card(folder / CARD_FILE)
    assert (folder / CARD_TEXT).read_text(encoding="utf-8") == markdown(card)
    for split in ("val", "test"):
        for figure in card.metrics[split].values():
            assert f"{figure.value + 0.0:.2f}".replace("-0.00", "0.00") in text
    for one in card.failures:
        assert one.path in text
    assert f"md5.manifest{card.lineage['md5.manifest']}" in text.replace(" ", "")
    assert "r" * 32 in text


def test_the_same_files_give_the_same_bytes(tmp_path: Path, sources: Sources) -> None:
    folder, _ = run(tmp_path, sources)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    run(tmp_path, sources)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_the_sections_are_those_the_checklists_lead_to(tmp_path: Path) -> None:
    found = made.found(tmp_path)
    html = document(found, make_card(found, made.NAME))
    titles = re.findall(r'<h2 id="section-(\d+)">', html)
    assert len(titles) == len(SECTIONS) + 2  # and the two checklists


def test_what_is_missing_is_said(tmp_path: Path, sources: Sources) -> None:
    _, text = run(tmp_path, sources)
    assert "the nested cross-validation (make evidence) has left no summary" in text
    assert "has no evaluation of this very model on other data" in text


def test_evidence_on_these_images_is_shown(tmp_path: Path, sources: Sources) -> None:
    evidence_made.write(sources.evidence, list(made.manifest()["path"]))
    folder, text = run(tmp_path, sources)
    cells = spaced((folder / REPORT_FILE).read_text(encoding="utf-8"))
    assert "AUROC 0.81 (0.76 to 0.86) 0.90 (0.85 to 0.95) 0.09 (0.04 to 0.14)" in cells
    assert "Linear probe on frozen features" in text
    assert "ours minus theirs: AUROC 0.05 (0.00 to 0.10)" in text
    assert "plane: coronal" in text
    assert "On data from elsewhere (clinic-b), sensitivity is 0.93 (0.88 to 0.96) and spec" in text
    assert f"{'e' * 18}..." in text
    assert "no tumour: clusters8" in text
    assert "0.93 (0.88 to 0.96)" in text
    assert "-0.20 (-0.25 to -0.15)" in text
    assert "has left no summary" not in text
    assert "Made by make evidence, 2026-01-02, 2 processors, in 30 minutes." in text


def test_the_published_protocol_stands_beside_what_was_published(
    tmp_path: Path, sources: Sources
) -> None:
    evidence_made.write(sources.evidence, list(made.manifest()["path"]))
    folder, text = run(tmp_path, sources)
    assert "2 of 20 seeds reach the published test accuracy" in text
    cells = spaced((folder / REPORT_FILE).read_text(encoding="utf-8"))
    assert "Accuracy 0.90 0.80 0.70 to 0.90 0.61 to 0.95" in cells
    assert "0.86 (0.81 to 0.91)" in text


def test_heat_maps_are_shown_with_what_they_must_beat(tmp_path: Path, sources: Sources) -> None:
    evidence_made.write(sources.evidence, list(made.manifest()["path"]))
    _, text = run(tmp_path, sources)
    for told in ("0.64 (0.59 to 0.69)", "0.11 (0.06 to 0.16)", "0.53 (0.48 to 0.58)"):
        assert told in text
    assert "Maps point at borders too." in text
    assert "its AUROC on phantoms: 0.92 (0.87 to 0.97)" in text


def test_evidence_not_made_yet_reads_as_nothing_yet(tmp_path: Path, sources: Sources) -> None:
    told, lineage = "Nothing here yet", "git checkout of the commit"
    _, without = run(tmp_path, sources)
    assert without.count(told) == 6
    sources.evidence.mkdir(parents=True)
    for name in ("summary.json", "robustness.json", "localisation.json"):
        (sources.evidence / name).write_text("{}\n", encoding="utf-8")
    (sources.evidence / "external-log.csv").write_text("date,model,sensitivity\n", "utf-8")
    (sources.evidence / "decisions.md").write_text("", encoding="utf-8")
    _, empty = run(tmp_path, sources)
    assert empty.split(lineage)[0] == without.split(lineage)[0]


def test_phantoms_that_train_too_are_told_on_page_and_card(
    tmp_path: Path, sources: Sources
) -> None:
    folder, text = run(tmp_path, sources)
    told = "300 synthetic phantoms, drawn from an atlas"
    assert told in text
    assert told in (folder / CARD_TEXT).read_text(encoding="utf-8")


def test_evidence_on_other_images_is_not_this_models(tmp_path: Path, sources: Sources) -> None:
    evidence_made.write(sources.evidence, ["no/elsewhere.png", "yes/elsewhere.png"])
    folder, text = run(tmp_path, sources)
    assert text.count("made on other images") == 2
    assert "Linear probe" not in text
    assert "published test accuracy" not in text
    assert not read_card(folder / CARD_FILE).baselines


def test_evidence_of_another_model_is_not_this_models(tmp_path: Path, sources: Sources) -> None:
    evidence_made.write(sources.evidence, list(made.manifest()["path"]), model="f" * 64)
    folder, text = run(tmp_path, sources)
    card = read_card(folder / CARD_FILE)
    assert "Linear probe" in text  # of the recipe, not of a model
    for told in ("robustness", "heat maps", "external"):
        key = {"heat maps": "explanation"}.get(told, told)
        assert f"Nothing here yet: {PENDING[key].replace('`', '')}" in text
    assert "On data from elsewhere" not in text
    assert "-0.20 (-0.25 to -0.15)" not in text
    assert "0.64 (0.59 to 0.69)" not in text
    assert "Of this modelno" in text
    assert not card.external


def test_phantoms_are_said_to_be_phantoms(tmp_path: Path) -> None:
    found = made.found(tmp_path, origin="phantom")
    card = make_card(found, made.NAME)
    assert "say nothing of its worth on patients" in shown(document(found, card))
    assert any("phantoms" in limit for limit in card.limits)


def test_random_weights_are_said_before_any_figure(tmp_path: Path, sources: Sources) -> None:
    weights = json.loads(sources.weights.read_text(encoding="utf-8"))
    weights |= {"source": "random", "note": "training starts from random weights"}
    sources.weights.write_text(json.dumps(weights), encoding="utf-8")
    _, text = run(tmp_path, sources)
    assert text.index("training starts from random weights") < text.index("Balanced accuracy")


def test_a_leaking_split_is_said_before_any_figure(tmp_path: Path, sources: Sources) -> None:
    _, text = run(tmp_path, sources)
    assert "No test image, nor a known copy of one, was trained on" in text
    said = pd.read_csv(sources.predictions)
    said.loc[said["path"] == "no/no_18.jpg", "split"] = "test"  # its copy, no_19, validates
    said.to_csv(sources.predictions, index=False)
    _, text = run(tmp_path, sources)
    assert text.index("1 test images share a copy") < text.index("Balanced accuracy")
    assert "No test image, nor a known copy" not in text


def test_a_missing_file_is_named(
    tmp_path: Path, sources: Sources, capsys: pytest.CaptureFixture[str]
) -> None:
    sources.metrics.unlink()
    with pytest.raises(SystemExit):
        run(tmp_path, sources)
    assert f"error: {sources.metrics}: not readable; run `dvc repro`" in capsys.readouterr().err


def test_broken_evidence_is_an_error_not_an_absence(
    tmp_path: Path, sources: Sources, capsys: pytest.CaptureFixture[str]
) -> None:
    sources.evidence.mkdir(parents=True)
    (sources.evidence / "summary.json").write_text("{", encoding="utf-8")
    with pytest.raises(SystemExit):
        run(tmp_path, sources)
    assert "summary.json: not readable as JSON" in capsys.readouterr().err
