"""The report holds what was found, and says what is not there."""

import io
import json
import re
from base64 import b64decode
from html import unescape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from brain_tumor import outputs
from brain_tumor.outputs import ReportInputs
from brain_tumor.report.card import (
    CARD_FILE,
    CARD_TEXT,
    REGISTERED_REPORT_FILE,
    REPORT_FILE,
    markdown,
    read_card,
)
from brain_tumor.report.document import document
from brain_tumor.report.prose import make_card
from brain_tumor.stages import report as stage
from tests.report import evidence_files, stage_files
from tests.report.test_checklists import SECTIONS
from tests.stages.command import invoke


def run(root: Path) -> tuple[Path, str]:
    """Run the stage; its folder, and the page as a reader sees it."""
    outputs.SPLIT.write_text("path,label,split,group\n", encoding="utf-8")
    stage_files.params_file(root)
    stage.main()
    return outputs.REPORT, shown((outputs.REPORT / REPORT_FILE).read_text(encoding="utf-8"))


def shown(html: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<(style|[^>]+)>", "", html)))


def spaced(html: str) -> str:
    """As `shown`, with a space wherever a cell ends."""
    return shown(re.sub(r"</t[dh]>", " ", html))


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ReportInputs:
    monkeypatch.chdir(tmp_path)
    return stage_files.write(tmp_path)


def test_the_stage_writes_page_and_card_that_agree(tmp_path: Path, sources: ReportInputs) -> None:
    folder, text = run(tmp_path)
    card = read_card(folder / CARD_FILE)
    assert (folder / CARD_TEXT).read_text(encoding="utf-8") == markdown(card)
    for split in ("val", "test"):
        for figure in card.metrics[split].values():
            assert f"{figure.value + 0.0:.2f}".replace("-0.00", "0.00") in text
    for failure in card.failures:
        assert failure.path in text
    assert f"md5.manifest{card.lineage['md5.manifest']}" in text.replace(" ", "")
    assert "r" * 32 in text


def test_the_same_files_give_the_same_bytes(tmp_path: Path, sources: ReportInputs) -> None:
    folder, _ = run(tmp_path)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    run(tmp_path)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


ABSENT = ("Nested cross-validation", "External data", "Explanations", "Robustness")


def headings(html: str) -> list[str]:
    titles = re.findall(r'<h2 id="section-\d+"><span class="number">\d+</span> (.*?)</h2>', html)
    return [unescape(title) for title in titles]


def absent(html: str) -> dict[str, str]:
    """Title to reason of the lines under the contents."""
    lines = re.findall(
        r"<li>(.*?)</li>", html.partition('<ul class="absent">')[2].split("</ul>")[0]
    )
    return dict(shown(line).split(": ", 1) for line in lines)


def test_the_sections_are_those_the_checklists_lead_to(
    tmp_path: Path, sources: ReportInputs
) -> None:
    evidence_files.write(sources.evidence, stage_files.manifest())
    folder, _ = run(tmp_path)
    html = (folder / REPORT_FILE).read_text(encoding="utf-8")
    assert len(headings(html)) == len(SECTIONS) - 1 + 2  # no decisions, but the two checklists
    assert headings(html)[12] == "Robustness"
    assert absent(html) == {}


def test_a_section_with_nothing_to_say_is_a_line_in_the_contents(
    tmp_path: Path, sources: ReportInputs
) -> None:
    folder, _ = run(tmp_path)
    html = (folder / REPORT_FILE).read_text(encoding="utf-8")
    lines = absent(html)
    assert tuple(lines) == ABSENT
    assert lines["Nested cross-validation"] == "not made on these images; make evidence"
    assert lines["External data"].startswith("not evaluated; brain-tumor evaluate MODEL FOLDER")
    assert not {*ABSENT, "The published protocol"} & {*headings(html)}


def test_the_decision_log_is_linked_and_not_copied(tmp_path: Path, sources: ReportInputs) -> None:
    evidence_files.write(sources.evidence, stage_files.manifest())
    (sources.evidence / "decisions.md").write_text("# Log\n\nTried: purple heads.", "utf-8")
    folder, text = run(tmp_path)
    assert "purple heads" not in text
    html = (folder / REPORT_FILE).read_text(encoding="utf-8")
    assert '<a href="../../docs/evidence/decisions.md">docs/evidence/decisions.md</a>' in html
    registered = (folder / REGISTERED_REPORT_FILE).read_text(encoding="utf-8")
    assert "../.." not in registered
    assert "decision log, docs/evidence/decisions.md of the commit" in shown(registered)


def test_the_surest_errors_are_pictures_in_the_local_report_only(
    tmp_path: Path, sources: ReportInputs
) -> None:
    folder, _ = run(tmp_path)
    failures = read_card(folder / CARD_FILE).failures
    local = (folder / REPORT_FILE).read_text(encoding="utf-8")
    embedded = re.findall(r'<img src="data:image/jpeg;base64,([^"]+)" alt="([^"]+)"', local)
    numbers = {path: number for number, path in enumerate(stage_files.manifest()["path"])}
    for (data, alt), failure in zip(embedded, failures, strict=True):
        with Image.open(io.BytesIO(b64decode(data))) as picture:
            assert abs(np.asarray(picture).mean() - numbers[failure.path]) < 1
        assert alt.startswith(f"{failure.path} as the network sees it")
        truth = "tumour" if failure.label == "yes" else "no tumour"
        assert f"labelled {truth}, probability of a tumour {failure.probability:.3f}" in shown(
            local
        )
    registered = (folder / REGISTERED_REPORT_FILE).read_text(encoding="utf-8")
    assert "<img" not in registered
    assert "data:image" not in registered
    assert "Pictures of these images are in the local report only" in shown(registered)
    assert all(failure.path in shown(registered) for failure in failures)


def test_no_error_is_a_line_in_the_contents(tmp_path: Path, sources: ReportInputs) -> None:
    predictions = pd.read_csv(sources.predictions)
    predictions["probability"] = (predictions["label"] == "yes") * 0.8 + 0.1
    predictions.to_csv(sources.predictions, index=False)
    folder, _ = run(tmp_path)
    html = (folder / REPORT_FILE).read_text(encoding="utf-8")
    assert "no validation or test image is called wrongly" in absent(html)["Most confident errors"]


def test_a_solved_head_shows_its_trials_and_no_empty_axes(
    tmp_path: Path, sources: ReportInputs
) -> None:
    _, text = run(tmp_path)
    assert "No block of InceptionV3 trained: the head on mixed6 was fitted" in text
    assert "The study ran 5 trials, of which 4 ran to their end and 1 were ended early" in text
    assert "Trials that ran to their end (n = 2)" in text.replace("\u00a0", " ")
    assert "Loss and accuracy by epoch" not in text
    table = text.partition("What the model was trained with")[2].partition("Figure")[0]
    assert "Learning rate" not in table  # it acts on nothing


def test_a_fine_tuned_model_shows_depth_rate_and_epochs(
    tmp_path: Path, sources: ReportInputs
) -> None:
    stage_files.history(sources, stage_files.EPOCHS)
    stage_files.trials(sources, [
        {"number": 0, "state": "complete", "value": 0.4, "fine_tune_blocks": 0},
        {"number": 1, "state": "complete", "value": 0.3, "fine_tune_blocks": 2,
         "learning_rate": 3e-4},
    ])  # fmt: skip
    meta = json.loads(sources.model_json.read_text(encoding="utf-8")) | {"fine_tuned_blocks": 2}
    sources.model_json.write_text(json.dumps(meta), encoding="utf-8")
    best = json.loads(sources.best.read_text(encoding="utf-8"))
    best["params"] |= {"fine_tune_blocks": 2}
    sources.best.write_text(json.dumps(best), encoding="utf-8")
    folder, text = run(tmp_path)
    assert "2 blocks of InceptionV3 below the head on mixed6 trained with it, 3 epochs" in text
    assert "1 of the finished ones train blocks of InceptionV3" in text
    assert "Loss and accuracy by epoch" in text
    cells = spaced((folder / REPORT_FILE).read_text(encoding="utf-8"))
    assert "Fine-tuning depth (blocks below the head) 2 the study" in cells
    assert "Learning rate 0.001 params.yaml" in cells
    assert "1 0.3000 2 0.0003" in cells
    assert "0 0.4000 0 -" in cells


def test_what_is_missing_is_said(tmp_path: Path, sources: ReportInputs) -> None:
    _, text = run(tmp_path)
    assert "the nested cross-validation (make evidence) has left no summary" in text
    assert "has no evaluation of this very model on other data" in text


def test_evidence_on_these_images_is_shown(tmp_path: Path, sources: ReportInputs) -> None:
    evidence_files.write(sources.evidence, stage_files.manifest())
    folder, text = run(tmp_path)
    cells = spaced((folder / REPORT_FILE).read_text(encoding="utf-8"))
    assert "Linear probe, frozen mixed6" in text
    assert "Recipe minus baseline AUROC 0.050 (0.000 to 0.100)" in cells
    assert "Plane: coronal 2 1 - - - -" in cells
    assert "On data from elsewhere (clinic-b), sensitivity is 0.93 (0.88 to 0.96) and spec" in text
    assert f"{'e' * 18}..." in text
    assert "no tumour: clusters8" in text
    assert "0.93 (0.88 to 0.96)" in text
    assert "-0.20 (-0.25 to -0.15)" in text
    assert "has left no summary" not in text
    assert (
        "Made by make evidence, 2026-01-02, 2 processors, in 30 minutes, with the recipe of" in text
    )


def test_the_published_protocol_stands_beside_what_was_published(
    tmp_path: Path, sources: ReportInputs
) -> None:
    evidence_files.write(sources.evidence, stage_files.manifest())
    folder, text = run(tmp_path)
    assert "2 of 20 seeds reach the published test accuracy" in text
    cells = spaced((folder / REPORT_FILE).read_text(encoding="utf-8"))
    assert "Test accuracy 0.90 0.80 0.70 to 0.90 0.61 to 0.95" in cells
    assert "0.86 (0.81 to 0.91) (12)" in cells
    assert "0.86 (0.81 to 0.91)" in text


def test_heat_maps_are_shown_with_what_they_must_beat(
    tmp_path: Path, sources: ReportInputs
) -> None:
    evidence_files.write(sources.evidence, stage_files.manifest())
    _, text = run(tmp_path)
    for score in ("0.64 (0.59 to 0.69)", "0.11 (0.06 to 0.16)", "0.53 (0.48 to 0.58)"):
        assert score in text
    assert "Maps point at borders too." in text
    assert "its AUROC on phantoms: 0.92 (0.87 to 0.97)" in text


def test_evidence_that_holds_nothing_reads_as_none(tmp_path: Path, sources: ReportInputs) -> None:
    lineage = "git checkout of the commit"
    _, without = run(tmp_path)
    sources.evidence.mkdir(parents=True)
    for name in ("summary.json", "robustness.json", "localisation.json"):
        (sources.evidence / name).write_text("{}\n", encoding="utf-8")
    (sources.evidence / "external-log.csv").write_text("date,model,sensitivity\n", "utf-8")
    _, empty = run(tmp_path)
    assert empty.split(lineage)[0] == without.split(lineage)[0]


def test_phantoms_that_train_too_are_told_on_page_and_card(
    tmp_path: Path, sources: ReportInputs
) -> None:
    folder, text = run(tmp_path)
    sentence = "1,200 synthetic phantoms, drawn from templates"
    assert sentence in text
    assert sentence in (folder / CARD_TEXT).read_text(encoding="utf-8")


def test_evidence_on_other_images_is_not_this_models(tmp_path: Path, sources: ReportInputs) -> None:
    same_names = stage_files.manifest().assign(sha256="f" * 64)
    evidence_files.write(sources.evidence, same_names)
    folder, text = run(tmp_path)
    lines = absent((folder / REPORT_FILE).read_text(encoding="utf-8"))
    assert lines["Nested cross-validation"].startswith("not made on these images")
    assert "on 40 of the 253" not in text
    assert "Linear probe" not in text
    assert "published test accuracy" not in text
    assert not read_card(folder / CARD_FILE).baselines


def test_evidence_of_another_model_is_not_this_models(
    tmp_path: Path, sources: ReportInputs
) -> None:
    evidence_files.write(sources.evidence, stage_files.manifest(), model="f" * 64)
    folder, text = run(tmp_path)
    card = read_card(folder / CARD_FILE)
    assert "Linear probe" in text  # of the recipe, not of a model
    lines = absent((folder / REPORT_FILE).read_text(encoding="utf-8"))
    assert tuple(lines) == ("External data", "Explanations", "Robustness")
    assert "On data from elsewhere" not in text
    assert "-0.20 (-0.25 to -0.15)" not in text
    assert "0.64 (0.59 to 0.69)" not in text
    assert "clinic-b" not in text  # another model's evaluation
    assert not card.external


def test_phantoms_are_said_to_be_phantoms(tmp_path: Path) -> None:
    inputs = stage_files.inputs(tmp_path, origin="phantom")
    card = make_card(inputs, stage_files.NAME)
    assert "say nothing of its worth on patients" in shown(document(inputs, card, None))
    assert any("phantoms" in limit for limit in card.limits)


def test_random_weights_are_said_before_any_figure(tmp_path: Path, sources: ReportInputs) -> None:
    weights = json.loads(sources.weights.read_text(encoding="utf-8"))
    weights |= {"source": "random", "note": "training starts from random weights"}
    sources.weights.write_text(json.dumps(weights), encoding="utf-8")
    _, text = run(tmp_path)
    assert text.index("training starts from random weights") < text.index("Balanced accuracy")


def test_a_leaking_split_is_said_before_any_figure(tmp_path: Path, sources: ReportInputs) -> None:
    _, text = run(tmp_path)
    assert "No test image, nor a known copy of one, was trained on" in text
    predictions = pd.read_csv(sources.predictions)
    is_copy = predictions["path"] == "no/no_18.jpg"  # the other, no_19, validates
    predictions.loc[is_copy, "split"] = "test"
    predictions.to_csv(sources.predictions, index=False)
    _, text = run(tmp_path)
    assert text.index("1 test images share a copy") < text.index("Balanced accuracy")
    assert "No test image, nor a known copy" not in text


def test_a_missing_file_is_named(tmp_path: Path, sources: ReportInputs) -> None:
    sources.metrics.unlink()
    stage_files.params_file(tmp_path)
    result = invoke(stage.main, tmp_path)
    assert result.exit_code == 1
    assert f"error: {outputs.FIGURES}: missing; run `dvc pull` or `dvc repro`" in result.stderr


def test_broken_evidence_is_an_error_not_an_absence(tmp_path: Path, sources: ReportInputs) -> None:
    sources.evidence.mkdir(parents=True)
    (sources.evidence / "summary.json").write_text("{", encoding="utf-8")
    stage_files.params_file(tmp_path)
    result = invoke(stage.main, tmp_path)
    assert result.exit_code == 1
    assert "summary.json: not readable" in result.stderr
