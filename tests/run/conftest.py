"""The run that the tests compare with."""

import pytest
from training_run import main

pytest.register_assert_rewrite("written_runs")  # so that a failure shows both sides

from written_runs import STEPS, log  # noqa: E402


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    main(folder)
    assert len(log(folder)) == STEPS
    return folder
