"""Flow matching: the loss, solvers of the flow's equation, pairing noise with data.

Reading order: matching.py, ode.py, optimal_transport.py.
"""

from tinygen._batch import drop_labels
from tinygen.flow import ode
from tinygen.flow.matching import (
    UnitTime,
    flow_loss,
    log_likelihood,
    matching_loss,
    reflow_loss,
    reflow_pairs,
    sample,
    straightness,
    train,
    transport,
    velocity,
)
from tinygen.flow.optimal_transport import couple

__all__ = [
    "UnitTime",
    "couple",
    "drop_labels",
    "flow_loss",
    "log_likelihood",
    "matching_loss",
    "ode",
    "reflow_loss",
    "reflow_pairs",
    "sample",
    "straightness",
    "train",
    "transport",
    "velocity",
]
