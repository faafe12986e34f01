"""From measurements to figures, ratios and verdicts."""

import statistics
import time


def median(values):
    return statistics.median(values)


def ratio(figures, better="more"):
    """How many times better Orch is; None without a peer."""
    if "peer" not in figures:
        return None
    a, b = figures["orch"], figures["peer"]
    return round(a / b if better == "more" else b / a, 2)


def at_least(value, budget):
    return None if value is None else value >= budget


def alternate(sides, rounds, measure):
    """measure(side, round) of each side in turn; lists by the side's name."""
    out = {side.name: [] for side in sides}
    for number in range(rounds):
        for side in sides:
            out[side.name].append(measure(side, number))
            time.sleep(0.5)
    return out


def rates(runs):
    """Of what http_load said in each run: medians by side, and the ratio of the rates."""
    rate = {name: round(median(r["per_second"] for r in all)) for name, all in runs.items()}
    return {"per_second": rate, "p50_ms": {n: median(r["p50_ms"] for r in a) for n, a in runs.items()},
            "p99_ms": {n: median(r["p99_ms"] for r in a) for n, a in runs.items()}, "ratio": ratio(rate)}


def judged(figures, budget):
    """A bench whose budget is a ratio."""
    return {"figures": figures, "budget": {"ratio": budget}, "pass": at_least(figures["ratio"], budget)}
