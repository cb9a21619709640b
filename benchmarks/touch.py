"""Touch from sound against what haptic designers made of the same sound, on the half that nothing was fitted on.

The baselines are an envelope follower and an onset detector at the settings that are best on the other half. Ours is
what the product gives: touch through its codec, and the emphasis that the .haptic export writes. `TRAIN=1` fits
touch_fit.json anew first.
"""

from __future__ import annotations

import json
import os
import time
from fractions import Fraction

import numpy as np

from report import Figure, data_folder, report
from stale_diffusion.clips import derive, felt
from stale_diffusion.formats import haptic
from stale_diffusion.senses import SENSES
from touch_pairs import FIT, RATE, TICKS, Array, Pair, best_detector, best_follower, correlation, f1, fit_weights, pairs

ERRORS = 2000  # resamplings of the pairs for a standard error


def ours(pair: Pair) -> Array:
    """The amplitude for one actuator, through the codec, (T,)."""
    touch = SENSES["touch"]
    ticks = -(-len(pair.sound) * TICKS // RATE)
    whole = -(-ticks // touch.samples) * touch.samples
    padded = np.pad(pair.sound, (0, whole * RATE // TICKS - len(pair.sound)))  # as `ingest` and `complete` fill it up
    values = derive.touch(padded, RATE, whole)
    decoded = np.asarray(touch.decode(touch.encode(values)), np.float64)
    return np.asarray(decoded[: len(pair.truth), :2].max(1))


def difference(ours_P: Array, theirs_P: Array) -> tuple[float, float]:
    """Mean over the pairs of ours minus theirs, and its standard error."""
    d_P = ours_P - theirs_P
    draws = np.random.default_rng(0).integers(0, len(d_P), (ERRORS, len(d_P)))
    return float(d_P.mean()), float(d_P[draws].mean(1).std())


def main() -> None:
    """Fit where asked, measure, report."""
    started = time.monotonic()
    fit, test = pairs(data_folder())
    if os.environ.get("TRAIN"):
        FIT.write_text(json.dumps(fit_weights(fit), indent=1) + "\n")
        felt.fitted.cache_clear()
    follower_settings, follower = best_follower(fit)
    detector_settings, detector = best_detector(fit)
    made = {p.name: ours(p) for p in test}
    corr = np.array([[correlation(made[p.name], p.truth), correlation(follower(p), p.truth)] for p in test])
    struck = [p for p in test if len(p.onsets)]

    def picked(pair: Pair) -> Array:
        return np.array([i / TICKS for i, _ in haptic.onsets(made[pair.name], Fraction(TICKS))])

    onset = np.array([[f1(picked(p), p.onsets), f1(detector(p), p.onsets)] for p in struck])
    (c, c_error), (o, o_error) = difference(*corr.T), difference(*onset.T)
    kinds = "band Hz, rise s, fall s, delay s, exponent"
    figures = [
        Figure("envelope_correlation_minus_baseline", c, "1", 0.0, "higher"),
        Figure("onset_f1_minus_baseline", o, "1", 0.0, "higher"),
        Figure("envelope_correlation", corr[:, 0].mean(), "1", corr[:, 1].mean(), "higher"),
        Figure("onset_f1", onset[:, 0].mean(), "1", onset[:, 1].mean(), "higher"),
        Figure("envelope_correlation_minus_baseline_error", c_error, "1", "bootstrap over pairs", "lower"),
        Figure("onset_f1_minus_baseline_error", o_error, "1", "bootstrap over pairs", "lower"),
        Figure("pairs", len(test), "1", f"fitted on {len(fit)} others", "higher"),
        Figure("onset_pairs", len(struck), "1", "with an emphasis by the designer", "higher"),
        Figure("baseline_follower", follower_settings[3], "s", f"{kinds}: {follower_settings}", "lower"),
        Figure(
            "baseline_detector",
            detector_settings[3],
            "1",
            f"compression, lag, local mean, threshold, gap s: {detector_settings}",
            "lower",
        ),
    ]
    report("touch", figures, started)


if __name__ == "__main__":
    main()
