"""A number and its interval as text."""

from brain_tumor.figure_text import IN_BRACKETS, bracketed, cell, decimals, with_interval


def test_a_number_has_its_interval_where_both_ends_are_there() -> None:
    assert with_interval(0.912, 0.824, 0.961) == "0.91 (0.82 to 0.96)"
    assert with_interval(0.912, None, 0.961) == "0.91"
    percent = with_interval(0.5, 0.25, 0.75, number="{:.0%}".format, form=IN_BRACKETS)
    assert percent == "50% [25%, 75%]"


def test_a_stored_figure_may_be_undefined_or_without_interval() -> None:
    figures = {"auroc": {"value": 0.5, "low": 0.25, "high": 0.75}, "ece": {"value": 0.5}}
    assert bracketed(cell(figures, "auroc")) == "0.50 [0.25, 0.75]"
    assert str(cell(figures, "auroc", 3)) == "0.500 (0.250 to 0.750)"
    assert str(cell(figures, "ece")) == "0.50"
    assert bracketed(cell(figures, "brier")) == "-"


def test_nothing_has_no_sign() -> None:
    assert decimals(-0.001) == "0.00"
    assert decimals(-0.001, 3) == "-0.001"
