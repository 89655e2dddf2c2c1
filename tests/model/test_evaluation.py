"""The table beside the paper's figures."""

from brain_tumor.model.evaluation import ROWS, comparison


def test_every_row_of_the_paper_stands_beside_this_run() -> None:
    estimate = {"value": 0.5, "low": 0.25, "high": 0.75}
    names = ("accuracy", "balanced_accuracy", "sensitivity", "specificity", "auroc", "log_loss")
    metrics = {split: dict.fromkeys(names, estimate) for split in ("val", "test")}
    metrics["train"] = {name: {"value": 0.125} for name in names}
    table = comparison(metrics, "random")
    assert all(f"| {name} | {published} |" in table for name, (_, _, published) in ROWS.items())
    assert "| test accuracy | 0.90 (36/40) | 0.50 [0.25, 0.75] |" in table
    assert "| train accuracy | 0.90 | 0.12 |" in table
