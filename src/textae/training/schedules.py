"""How far a run is, and the learning rate and the KL weight there."""

import math


def progress(
    *,
    step: int,
    epochs: float,
    minutes: float,
    max_steps: int | None,
    max_epochs: float | None,
    max_minutes: float | None,
) -> float:
    """Return the share of a run that is done, by the limit that is nearest; 1 or more when it is over."""
    shares = [
        done / limit
        for done, limit in ((step, max_steps), (epochs, max_epochs), (minutes, max_minutes))
        if limit is not None
    ]
    return max(shares)


def learning_rate(
    peak: float, schedule: str, *, step: int, done: float, warmup_steps: int, final_share: float
) -> float:
    """Return the learning rate of update `step` (0 is the first): a linear warm-up times the schedule's fall.

    Args:
        peak: the highest value.
        schedule: "cosine" (Loshchilov and Hutter, arXiv 1608.03983), "linear" or "constant".
        done: share of the run that is done, so that a run limited by minutes falls as one limited by steps.
        warmup_steps: updates until the peak.
        final_share: what is left of the peak at the end.
    """
    done = min(max(done, 0.0), 1.0)
    falls = {"cosine": 0.5 * (1 + math.cos(math.pi * done)), "linear": 1 - done, "constant": 1.0}
    if schedule not in falls:
        raise ValueError(f"expected a schedule among {', '.join(falls)}, received {schedule!r}")
    fall = 1.0 if schedule == "constant" else final_share + (1 - final_share) * falls[schedule]
    return peak * min(1.0, (step + 1) / max(warmup_steps, 1)) * fall


def kl_weight(peak: float, schedule: str, *, done: float, warmup: float, cycles: int) -> float:
    """Return the weight of the KL divergence at a point of the run.

    Args:
        peak: the highest value.
        schedule: "constant", "linear" (one rise from 0) or "cyclic" (a rise in each cycle, after Fu et al., arXiv
            1903.10145).
        done: share of the run that is done.
        warmup: share of the run, or of each cycle, during which the weight rises.
        cycles: of "cyclic".
    """
    done = min(max(done, 0.0), 1.0)
    shares = {"constant": 1.0, "linear": done, "cyclic": 1.0 if done == 1 else cycles * done % 1.0}
    if schedule not in shares:
        raise ValueError(f"expected a schedule among {', '.join(shares)}, received {schedule!r}")
    return peak if schedule == "constant" or shares[schedule] >= warmup else peak * shares[schedule] / warmup
