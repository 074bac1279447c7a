"""Flow matching. Reading order: matching.py, ode.py, optimal_transport.py."""

from tinygen.flow import ode as ode
from tinygen.flow.matching import *
from tinygen.flow.optimal_transport import optimal_pairs as optimal_pairs
