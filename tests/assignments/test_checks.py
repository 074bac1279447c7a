"""The language of tests: partial credit by parts, and words for the student."""

import numpy as np
import pytest

from tinygen.assignments.checks import check, gradient, require, run, value
from tinygen.assignments.student import NotWritten, StudentError


class Fake:
    """Stands for a student's process."""

    def __init__(self):
        self.printed, self.seconds, self.functions = [], 0.0, None


def outcome(test, points=6):
    return run(check(1, "a check", points)(test), Fake(), None, seed=0)


def layer(x, w, b):
    return x @ w + b


INPUTS = np.ones((4, 3)) + np.eye(4, 3), np.eye(3, 2) + 0.5, np.ones(2)


def test_each_argument_of_a_gradient_is_a_part():
    def backward(g, x, w, b):
        return g @ w.T, x.T @ g, g.mean(axis=0)

    result = outcome(lambda *_: gradient(backward, layer, *INPUTS))
    assert (result.score, result.status) == (4, "failed")
    assert "with respect to `b` is wrong" in result.text
    assert "Mean instead of sum?" in result.text


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (None, "expected 3 gradients, one for each array, got None"),
        ((np.ones((4, 3)),), "expected 3 gradients, one for each array, got 1 of them"),
        (3 * ("abc",), "`backward` returned a str, not an array"),
        (3 * (np.zeros((4, 3)) + np.nan,), "it is infinite or not a number"),
    ],
)
def test_a_gradient_of_the_wrong_kind_gives_no_points_and_a_sentence(returned, words):
    def backward(g, x, w, b):
        return returned

    result = outcome(lambda *_: gradient(backward, layer, *INPUTS))
    assert result.score == 0
    assert words in result.text
    assert "vjp" not in result.text


def test_a_gradient_that_ignores_the_outputs_gradient_is_told_so():
    def backward(g, x):
        return 2 * x

    result = outcome(lambda *_: gradient(backward, lambda x: (x**2).sum(), np.ones(3)))
    assert result.messages[0] == (
        "backward: the result does not depend on `g`, the output's gradient"
    )
    assert (
        outcome(lambda *_: gradient(lambda g, x: 2 * g * x, lambda x: x**2, np.ones(3))).score == 6
    )


def test_integers_are_no_part():
    def pick(x, k):
        return x[k]

    def backward(g, x, k):
        gx = np.zeros_like(x)
        np.add.at(gx, k, g)
        return gx

    result = outcome(lambda *_: gradient(backward, pick, np.arange(3.0), np.array([0, 2, 2])))
    assert result.score == 6


def test_a_value_names_the_mistake_that_it_equals():
    hints = {"the ½ is missing": 2.0, "the sign is wrong": -1.0}
    assert outcome(lambda *_: value(2.0, 1.0, "KL", hints)).text == "KL: the ½ is missing"
    assert outcome(lambda *_: value(-1.0, 1.0, "KL", hints)).text == "KL: the sign is wrong"
    assert "expected 1" in outcome(lambda *_: value(3.0, 1.0, "KL", hints)).text
    assert outcome(lambda *_: value(1.0, 1.0, "KL", hints | {"right": 1.0})).score == 6
    nan = outcome(lambda *_: value(np.nan, 1.0, "KL", {"not finite": np.nan}))
    assert nan.text == "KL: not finite"


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (None, "Is there a `return`?"),
        ("1.0", "got a str"),
        ((1.0, 2.0), "got a tuple"),
        ([1.0, [2.0]], "got a list"),
        (np.ones(3), "shape (3,)"),
    ],
)
def test_a_value_of_the_wrong_kind_gives_no_points_and_a_sentence(found, words):
    result = outcome(lambda *_: value(found, 1.0, "KL"))
    assert result.score == 0
    assert words in result.text


def test_a_score_is_the_share_of_the_parts_and_the_first_three_failures_are_told():
    def test(*_):
        for k in range(8):
            require(k < 2, f"failure {k}")
            require(True, "")

    result = outcome(test)
    assert result.score == 3.75
    assert result.messages == ["failure 2", "failure 3", "failure 4", "… and 3 more"]


def test_a_message_is_told_once():
    result = outcome(lambda *_: [value(2.0, 1.0, "x", {"twice": 2.0}) for _ in range(5)])
    assert result.messages == ["x: twice"]


@pytest.mark.parametrize(
    ("error", "status"), [(NotWritten("blank"), "blank"), (StudentError("wrong"), "failed")]
)
def test_an_error_of_the_student_ends_the_check_without_points(error, status):
    def test(*_):
        require(True, "")
        raise error

    result = outcome(test)
    assert (result.score, result.status, result.text) == (0, status, str(error))


def test_a_result_that_the_test_stumbles_over_is_the_students_failure():
    result = outcome(lambda *_: require(np.ones(2) + "a", ""))
    assert result.score == 0
    assert "the result can't be used" in result.text


def test_a_check_without_parts_gives_nothing():
    result = outcome(lambda *_: None)
    assert (result.score, result.text) == (0, "nothing was returned that could be checked")


def test_random_numbers_depend_on_the_seed_and_the_name_only():
    drawn = []

    def draw(student, reference, rng):
        drawn.append(rng.normal())
        require(True, "")

    for name, seed in (("a", 1), ("a", 1), ("a", 2), ("b", 1)):
        run(check(1, name, 1)(draw), Fake(), None, seed)
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) == 3
