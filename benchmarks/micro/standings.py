"""What the slices of a row say: ratios with intervals, targets, and who is ahead."""

from __future__ import annotations

from benchmarks.micro.medians import Median, median_of
from benchmarks.micro.rounds import Timed
from benchmarks.micro.rows import Metric, Target
from benchmarks.micro.tables import Table


def standings(timed: Timed) -> list[Table]:
    """Return a table for each metric of a row."""
    return [_table(timed, metric) for metric in timed.row.metrics]


def verdict(target: Target, ratio: Median) -> str:
    """Return PASS or MISS, with a question mark where the interval allows the other."""
    word = "PASS" if target.holds(ratio.value) else "MISS"
    sure = ratio.ci95 is not None and target.holds(ratio.ci95[0]) == target.holds(ratio.ci95[1])
    return word if sure else f"{word}?"


def _table(timed: Timed, metric: Metric) -> Table:
    figure, yardstick = metric.figure, timed.row.yardstick
    ratios = {title: median_of(timed.ratios(title, figure)) for title in timed.arms}
    order = sorted(ratios, key=lambda title: ratios[title].value, reverse=metric.higher_is_better)
    rows = [_line(yardstick, timed, metric, Median(1.0, None), "")]
    for title in order:
        held = metric.target is not None and metric.target.arm == title
        word = verdict(metric.target, ratios[title]) if held and metric.target else ""
        rows.append(_line(title, timed, metric, ratios[title], word))
    target = f" (valkeyctl: {metric.target})" if metric.target else ""
    unit = "a second" if figure == "per_s" else "us"
    return Table(
        metric.title + target,
        ("", unit, f"/ {yardstick}", "95 % interval", ""),
        rows,
        _notes(timed, metric, ratios),
    )


def _line(title: str, timed: Timed, metric: Metric, ratio: Median, word: str) -> tuple[str, ...]:
    middle = median_of(timed.values(title, metric.figure)).value
    shown = f"{middle:,.0f}" if metric.figure == "per_s" else f"{middle:,.1f}"
    return title, shown, f"{ratio.value:.2f}", interval(ratio), word


def interval(median: Median) -> str:
    """Return the bounds of an interval, or nothing."""
    return f"{median.ci95[0]:.2f} - {median.ci95[1]:.2f}" if median.ci95 else ""


def _notes(timed: Timed, metric: Metric, ratios: dict[str, Median]) -> list[str]:
    notes = []
    ours = [title for title in timed.ours if title in ratios]
    theirs = [title for title in timed.rivals if title in ratios]
    if timed.row.yardstick in timed.rivals:
        theirs.append(timed.row.yardstick)
        ratios = {**ratios, timed.row.yardstick: Median(1.0, None)}
    if ours and theirs:
        pick = max if metric.higher_is_better else min
        best = pick(theirs, key=lambda title: ratios[title].value)
        against = median_of(timed.ratios(ours[0], metric.figure, best))
        notes.append(
            f"{ours[0]} is {_standing(against, metric)} the best peer, {best}: "
            f"{against.value:.2f}x ({interval(against) or 'too few rounds for an interval'})."
        )
    drift = sorted(timed.drift(metric.figure))
    notes.append(
        f"{timed.row.yardstick} at the end of a round over its beginning: "
        f"{drift[0]:.2f} to {drift[-1]:.2f}, n = {len(drift)} rounds."
    )
    failed = {
        title: share
        for title, slices in timed.arms.items()
        if (share := sum(each.failed for each in slices))
    }
    notes += [f"{title}: {count} operations failed." for title, count in failed.items()]
    notes += [f"{title}: {reason}." for title, reason in timed.dropped.items()]
    return notes


def _standing(against: Median, metric: Metric) -> str:
    """Say which side of 1 the whole interval is on."""
    low, high = against.ci95 or (0.0, float("inf"))
    if low <= 1 <= high:
        return "not told apart from"
    return "ahead of" if (low > 1) == metric.higher_is_better else "behind"
