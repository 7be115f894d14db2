"""Four plots as SVG, each a file of its own or within a page. They fetch nothing."""

from __future__ import annotations

import dataclasses
import html
import math
from collections.abc import Callable, Sequence

from ._stats import pareto

_WIDTH = 760
_LEFT, _RIGHT, _TOP, _BOTTOM = 66, 24, 34, 52
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#b8679a", "#a17a00", "#3a9bd1")
_STYLE = (
    "<style>.q{font:12px system-ui,sans-serif;fill:#333}.qt{font-size:14px;font-weight:600}"
    ".qs{fill:#666;font-size:11px}.qg{stroke:#ddd;stroke-width:1}.qz{stroke:#888;stroke-width:1}"
    ".qb{fill:#fff}.qn{font:600 10px system-ui,sans-serif;fill:#fff}"
    "@media(prefers-color-scheme:dark){.q{fill:#ddd}.qs{fill:#aaa}.qg{stroke:#3a3a3a}"
    ".qz{stroke:#999}.qb{fill:#1b1b1b}}</style>"
)


@dataclasses.dataclass(frozen=True)
class Point:
    """A measured value and its interval, of no height where there is none."""

    label: str
    x: float
    y: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Axis:
    """From the first to the last of its ticks."""

    ticks: tuple[float, ...]
    place: Callable[[float], float]
    text: Callable[[float], str]


def ticks(low: float, high: float, most: int = 7) -> tuple[float, ...]:
    """Round numbers around both ends; at least two."""
    if high - low < 1e-9:
        low, high = low - 1, high + 1
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return tuple(round(step * number, 10) for number in range(first, last + 1))


def forest(title: str, rows: Sequence[Point], x_label: str) -> str:
    """A row for every value with its interval, the zero marked. A point's y is its value."""
    left = 30 + 7 * max((len(row.label) for row in rows), default=0)
    top = 12
    height = top + 26 * len(rows) + _BOTTOM
    bounds = [0.0, *(row.low for row in rows), *(row.high for row in rows)]
    axis = _axis(ticks(min(bounds), max(bounds)), left, _WIDTH - 140, _signed)
    body = _vertical_grid(axis, top, height - _BOTTOM)
    for number, row in enumerate(rows):
        y = top + 26 * number + 13
        body.append(_text(left - 10, y + 4, row.label, "end"))
        body.append(_line(axis.place(row.low), y, axis.place(row.high), y, _COLOURS[0], 2))
        body += [
            _line(axis.place(x), y - 4, axis.place(x), y + 4, _COLOURS[0], 2)
            for x in (row.low, row.high)
        ]
        body.append(_dot(axis.place(row.y), y, _COLOURS[0], f"{row.label}: {_spread(row)}"))
        body.append(_text(_WIDTH - 132, y + 4, _spread(row), "start", "q qs"))
    body.append(_text((left + _WIDTH - 140) / 2, height - 12, x_label))
    return _svg(title, body, height)


def front(title: str, points: Sequence[Point], x_label: str, y_label: str) -> str:
    """Values over what they cost, numbered as in the list beside them. The line joins those that no
    other beats in both: less x, more y."""
    height = max(400, _TOP + 22 * len(points) + _BOTTOM)
    right = _WIDTH - 110 - 7 * max(len(point.label) for point in points)
    xs, ys = _plane(
        points, height, ticks(min(p.x for p in points), max(p.x for p in points)), right=right
    )
    body = _frame(xs, ys, height, x_label, y_label, right)
    best = pareto({point.label: (point.x, -point.y) for point in points})
    by_name = {point.label: point for point in points}
    places = [(xs.place(by_name[name].x), ys.place(by_name[name].y)) for name in best]
    body.append(_path(places, _COLOURS[0], "4 4"))
    for point in points:
        x, colour = xs.place(point.x), _COLOURS[0 if point.label in best else 1]
        body.append(_line(x, ys.place(point.low), x, ys.place(point.high), colour, 1.5))
    for number, point in enumerate(points, 1):
        x, y, colour = xs.place(point.x), ys.place(point.y), _COLOURS[point.label not in best]
        listed = _TOP + 22 * (number - 1)
        hint = f"{point.label}: {point.x:.3g}, {_spread(point)}"
        for u, v in ((x, y), (right + 24, listed + 8)):
            body.append(_dot(u, v, colour, hint, 8))
            body.append(_text(u, v + 3.5, str(number), css="qn"))
        body.append(_text(right + 40, listed + 12, f"{point.label}  {point.x:.2f}", "start"))
    return _svg(title, body, height)


def lines(
    title: str,
    series: Sequence[tuple[str, Sequence[Point]]],
    x_label: str,
    y_label: str,
    in_percent: bool = False,
) -> str:
    """Values at places that are named, evenly spaced in order of x."""
    height = 340
    places = sorted({point.x for _, points in series for point in points})
    names = {point.x: point.label for _, points in series for point in points}
    every = [point for _, points in series for point in points]
    _, ys = _plane(every, height, (0.0, 1.0), _percent if in_percent else _signed)
    step = (_WIDTH - _LEFT - _RIGHT - 80) / max(1, len(places) - 1)
    at = {x: _LEFT + 40 + step * number for number, x in enumerate(places)}
    xs = Axis(tuple(places), lambda x: at[x], lambda x: names[x])
    body = _frame(xs, ys, height, x_label, y_label)
    for number, (name, points) in enumerate(series):
        colour = _COLOURS[number % len(_COLOURS)]
        # Beside one another, so that intervals do not hide each other.
        shift = (number - (len(series) - 1) / 2) * 6
        ordered = sorted(points, key=lambda point: point.x)
        body.append(_path([(at[p.x] + shift, ys.place(p.y)) for p in ordered], colour))
        for point in ordered:
            x = at[point.x] + shift
            body.append(_line(x, ys.place(point.low), x, ys.place(point.high), colour, 1.5))
            value = ys.text(point.y) if in_percent else _spread(point)
            body.append(_dot(x, ys.place(point.y), colour, f"{name}, {point.label}: {value}"))
        if len(series) > 1:
            x = _LEFT + 10 + number * 170
            body += [
                _line(x, _TOP - 6, x + 18, _TOP - 6, colour, 2),
                _text(x + 24, _TOP - 2, name, "start"),
            ]
    return _svg(title, body, height)


def heat(
    title: str,
    rows: Sequence[str],
    columns: Sequence[str],
    values: Sequence[Sequence[float | None]],
    x_label: str,
    y_label: str,
) -> str:
    """A cell for each value, by row and column: the least is pale, the largest strong. Numbers are
    written where they have room."""
    left = 40 + 7 * max(len(name) for name in rows)
    width = (_WIDTH - left - _RIGHT) / len(columns)
    side = 26 if len(rows) <= 16 else 15
    known = [value for row in values for value in row if value is not None]
    low, high = min(known), max(known)
    body = []
    for number, (name, row) in enumerate(zip(rows, values)):
        y = 8 + side * number
        body.append(_text(left - 8, y + side / 2 + 4, name, "end"))
        for column, value in enumerate(row):
            if value is None:
                continue
            strength = (value - low) / (high - low) if high > low else 0.0
            hint = f"<title>{html.escape(f'{name}, {columns[column]}: {value:.3f}')}</title>"
            x = left + width * column
            body.append(
                f'<rect x="{x:.1f}" y="{y}" width="{width - 1:.1f}" height="{side - 1}"'
                f' fill="{_COLOURS[0]}" fill-opacity="{0.06 + 0.94 * strength:.2f}">{hint}</rect>'
            )
            if width >= 34 and side >= 20:
                css = "qn" if strength > 0.6 else "q"
                body.append(_text(x + width / 2, y + side / 2 + 4, f"{value:.3f}", css=css))
    bottom = 8 + side * len(rows)
    every = math.ceil(7 * max(len(name) for name in columns) / width)
    for column in range(0, len(columns), every):
        x = left + width * (column + 0.5)
        body.append(_text(x, bottom + 16, columns[column], css="q qs"))
    height = bottom + _BOTTOM
    body.append(_text((left + _WIDTH - _RIGHT) / 2, height - 12, x_label))
    body.append(
        f'<text class="q" text-anchor="middle" transform="translate(15,{(8 + bottom) / 2:.0f})'
        f' rotate(-90)">{html.escape(y_label)}</text>'
    )
    return _svg(title, body, height)


def _plane(
    points: Sequence[Point],
    height: int,
    x_ticks: tuple[float, ...],
    y_text: Callable[[float], str] | None = None,
    right: float = _WIDTH - _RIGHT,
) -> tuple[Axis, Axis]:
    low = min(point.low for point in points)
    high = max(point.high for point in points)
    ys = _axis(ticks(low, high), height - _BOTTOM, _TOP + 8, y_text or _signed)
    return _axis(x_ticks, _LEFT + 14, right - 14, lambda x: f"{x:g}"), ys


def _axis(marks: tuple[float, ...], begin: float, end: float, text: Callable[[float], str]) -> Axis:
    low, high = marks[0], marks[-1]
    return Axis(marks, lambda x: begin + (x - low) / (high - low) * (end - begin), text)


def _signed(value: float) -> str:
    return "0" if abs(value) < 1e-12 else f"{value:+.4g}"


def _percent(value: float) -> str:
    return f"{value:.4g}%"


def _spread(point: Point) -> str:
    if point.low == point.high == point.y:
        return f"{point.y:+.2f}"
    return f"{point.y:+.2f} [{point.low:+.2f}, {point.high:+.2f}]"


def _frame(
    xs: Axis, ys: Axis, height: int, x_label: str, y_label: str, right: float = _WIDTH - _RIGHT
) -> list[str]:
    body = []
    for tick in ys.ticks:
        y = ys.place(tick)
        body.append(_grid_line(tick, _LEFT, y, right, y))
        body.append(_text(_LEFT - 8, y + 4, ys.text(tick), "end", "q qs"))
    for tick in xs.ticks:
        body.append(_text(xs.place(tick), height - _BOTTOM + 18, xs.text(tick), css="q qs"))
    body.append(_text((_LEFT + right) / 2, height - 12, x_label))
    middle = (_TOP + height - _BOTTOM) / 2
    body.append(
        f'<text class="q" text-anchor="middle" transform="translate(15,{middle:.0f}) rotate(-90)">'
        f"{html.escape(y_label)}</text>"
    )
    return body


def _vertical_grid(axis: Axis, top: float, bottom: float) -> list[str]:
    body = []
    for tick in axis.ticks:
        x = axis.place(tick)
        body.append(_grid_line(tick, x, top, x, bottom))
        body.append(_text(x, bottom + 16, axis.text(tick), css="q qs"))
    return body


def _grid_line(tick: float, x1: float, y1: float, x2: float, y2: float) -> str:
    """The zero's is stronger."""
    ends = f'x1="{x1:.1f}" x2="{x2:.1f}" y1="{y1:.1f}" y2="{y2:.1f}"'
    return f'<line class="{"qg" if tick else "qz"}" {ends}/>'


def _text(x: float, y: float, text: str, anchor: str = "middle", css: str = "q") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}"'
    return f'<text class="{css}" {place} text-anchor="{anchor}">{html.escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float) -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{width}"/>'


def _dot(x: float, y: float, colour: str, hint: str, radius: float = 4.5) -> str:
    title = f"<title>{html.escape(hint)}</title>"
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{colour}">{title}</circle>'


def _path(places: Sequence[tuple[float, float]], colour: str, dashes: str = "") -> str:
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"{dashed}/>'


def _svg(title: str, body: Sequence[str], height: int) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height + 22}"'
        f' width="{_WIDTH}" role="img">{_STYLE}<rect class="qb" width="100%" height="100%"/>'
        f'<text class="q qt" x="12" y="18">{html.escape(title)}</text>'
        f'<g transform="translate(0,22)">{"".join(body)}</g></svg>'
    )
