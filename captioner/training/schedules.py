"""What the learning rate does."""

from __future__ import annotations

from keras.optimizers import schedules

from captioner.errors import UserError
from captioner.training.options import TrainingOptions

SCHEDULES = ("cosine", "constant")


def learning_rate(options: TrainingOptions, steps: int) -> schedules.LearningRateSchedule:
    """The learning rate of each of the steps that a training has.

    It rises from 0 over the warm-up's share of the steps, and then falls to 0 as half a cosine
    (Loshchilov and Hutter, "SGDR", 2017, without restarts), or stays.

    Raises:
        UserError: no schedule has that name.
    """
    if options.schedule not in SCHEDULES:
        raise UserError(f"no schedule is called '{options.schedule}': {', '.join(SCHEDULES)}")
    highest, rising = options.learning_rate, int(options.warmup * steps)
    lowest = 1.0 if options.schedule == "constant" else 0.0
    return schedules.CosineDecay(
        initial_learning_rate=0.0 if rising else highest,
        decay_steps=max(1, steps - rising),
        alpha=lowest,
        warmup_target=highest if rising else None,
        warmup_steps=rising,
    )
