"""Data-parallel training on several processes, machines or GPUs, by MPI."""

from tinygen.distributed.ranks import *
