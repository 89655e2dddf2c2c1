"""What the test of the explanations says, in words read off its figures."""

from collections.abc import Iterator, Mapping
from typing import Any

from brain_tumor.evidence.localisation_places import BORDER, OUTSIDE
from brain_tumor.report.evidence_tables import RIVALS

_Figures = Mapping[str, Any]
_ASTRAY = {BORDER: "at the border of the head", OUTSIDE: "outside the head"}


def notes(found: _Figures) -> list[str]:
    """Sentences on what maps beat, where else they point, and scanner text.

    Args:
        found: see stage localisation: differences, by_plane, places, text.
    """
    planes = found["by_plane"]
    return [
        _verdict("All planes", found["differences"]),
        *(_verdict(name.capitalize(), one["differences"]) for name, one in planes.items()),
        *(_astray(*place, found["places"]) for place in _ASTRAY.items()),
        *_text(found["text"]),
    ]


def _verdict(where: str, differences: Mapping[str, Mapping[str, _Figures]]) -> str:
    """Which differences are shown: their interval lies above zero."""
    failed = {
        rival: [name for name, one in figures.items() if one.get("low", 0.0) <= 0]
        for rival, figures in differences.items()
    }
    total, missing = (sum(map(len, one.values())) for one in (differences, failed))
    told = "; ".join(
        f"{' and '.join(names)} against {RIVALS[rival]}" for rival, names in failed.items() if names
    )
    start = f"{where}: {total - missing} of {total} differences have an interval above zero"
    return f"{start}; not shown: {told}." if told else f"{start}."


def _astray(place: str, where: str, places: Mapping[str, _Figures]) -> str:
    """Whether maps prefer a kind of place where there is no tumour to point at."""
    healthy, blind = places["without"][place], places["blind"][place]["value"]
    if healthy["low"] > blind:
        word = "favour"
    elif healthy["high"] < blind:
        word = "avoid"
    else:
        word = "neither favour nor avoid"
    return (
        f"Maps {word} places {where}: without a tumour the strongest is one in "
        f"{_percent(healthy)} of phantoms, with a tumour in {_percent(places['with'][place])}; "
        f"{blind:.0%} of all places are."
    )


def _text(found: Mapping[str, Mapping[str, _Figures]]) -> Iterator[str]:
    for where, classes in found.items():
        for label, one in classes.items():
            start = (
                f"Scanner text {where}, phantoms {label} tumour: letters reach the network in "
                f"{one['in_view']} of {one['phantoms']}"
            )
            yield f"{start}; {_drawn(one)}" if one["in_view"] else f"{start}."


def _drawn(one: _Figures) -> str:
    hits, without, moved = (
        one[name] for name in ("strongest_at_text", "strongest_there_without", "probability_moved")
    )
    word = "point" if hits["low"] > without["high"] else "are not shown to point"
    return (
        f"maps {word} at it (strongest place there in {_percent(hits)}; without text in "
        f"{without['value']:.0%}), and it moves the probability by {moved['value']:+.3f}"
        f"{_ends(moved, '{:+.3f}')} on average."
    )


def _percent(figure: _Figures) -> str:
    return f"{figure['value']:.0%}{_ends(figure, '{:.0%}')}"


def _ends(figure: _Figures, form: str) -> str:
    if "low" not in figure:
        return ""
    return f" [{form.format(figure['low'])}, {form.format(figure['high'])}]"
