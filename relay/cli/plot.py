"""A curve in the terminal, against a threshold."""

from collections.abc import Mapping, Sequence

import plotext

ROWS = 14
_BESIDE = 12
"""Columns for the numbers at the left and the frame."""


def columns_of(width: int) -> int:
    """How many values are worth having for a plot of that width: two dots share a character."""
    return max(10, width - _BESIDE) * 2


def draw(
    values: Sequence[float | None], threshold: float | None, ticks: Mapping[int, str], width: int, colour: bool
) -> str:
    """Draw values at equal distances, with gaps where there are none; `ticks` names some of their places.

    Without a threshold the values are counts, and the axis shows whole numbers.
    """
    plotext.clear_figure()
    plotext.theme("clear")
    plotext.plotsize(width, ROWS)
    for first, part in _parts(values):
        plotext.plot(range(first, first + len(part)), part, marker="braille", color="blue")
    if threshold is not None:
        plotext.hline(threshold, color="red")
    else:
        most = int(max((value for value in values if value is not None), default=1))
        plotext.yticks(range(0, most + 1, most // 5 + 1))
    plotext.xlim(0, max(len(values) - 1, 1))
    plotext.xticks(list(ticks), list(ticks.values()))
    picture: str = plotext.build()
    return (picture if colour else plotext.uncolorize(picture)).rstrip("\n")


def _parts(values: Sequence[float | None]) -> list[tuple[int, list[float]]]:
    """The stretches without a gap, each with its first place."""
    parts: list[tuple[int, list[float]]] = []
    for place, value in enumerate(values):
        if value is None:
            continue
        if parts and parts[-1][0] + len(parts[-1][1]) == place:
            parts[-1][1].append(value)
        else:
            parts.append((place, [value]))
    return parts
