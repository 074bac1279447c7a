"""After a step: an average of the parameters, which generates better samples than the last step."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tinygen._checks import number
from tinygen._types import Array
from tinygen.autograd.parallel import in_place
from tinygen.optim.optimizers import Params, Stateful

__all__ = ["EMA"]


@in_place
def _approach(average: Array, p: Array, decay: float) -> None:
    average += (1 - decay) * (p - average)


class EMA(Stateful):
    """An average of the parameters over the steps, in which older ones fade: a ← d a + (1 − d) p

    d is `decay`; with `warm_up` min(decay, (1 + t) / (10 + t)) after t updates, so that the values
    training began with are soon forgotten. Call `update` after each step.
    """

    def __init__(self, params: Params, decay: float = 0.999, warm_up: bool = True) -> None:
        super().__init__(params, "average")
        self.decay = number("EMA: expected 0 ≤ `decay` < 1", decay, lambda x: 0 <= x < 1)
        self.warm_up = warm_up
        self.state["average"] = [p.data.copy() for p in self.params]
        self._applied = False

    def update(self) -> None:
        """Move the averages towards the parameters."""
        self._check_not_applied("update")
        self.check_unchanged()
        early = (1 + self.steps) / (10 + self.steps)
        decay = min(self.decay, early) if self.warm_up else self.decay
        for average, p in zip(self.state["average"], self.params, strict=True):
            _approach(average, p.data, decay)
        self.steps += 1

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """`with ema.applied():` the parameters are the averages; then they are as before.

        Both change places: what is done to the parameters inside is done to the averages.
        """
        self._check_not_applied("applied")
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def copy_to_params(self) -> None:
        """Set the parameters to the averages, for good; `applied` does so for a while."""
        self._check_not_applied("copy_to_params")
        for average, p in zip(self.state["average"], self.params, strict=True):
            p.data = average.copy()

    def _swap(self) -> None:
        averages, self._applied = self.state["average"], not self._applied
        for i, p in enumerate(self.params):
            p.data, averages[i] = averages[i], p.data

    def state_dict(self) -> dict[str, Array]:
        self._check_not_applied("state_dict")
        return super().state_dict()

    def _check_not_applied(self, method: str) -> None:
        if self._applied:
            raise RuntimeError(
                f"EMA.{method}: the averages are in use as the parameters; leave "
                f"`with applied()` first"
            )
