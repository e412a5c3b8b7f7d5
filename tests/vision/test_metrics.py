"""Average precision on cases small enough to work out by hand."""

import pytest

from edgert.vision.metrics import intersection_over_union, mean_average_precision

A, B, FAR = (0, 0, 10, 10), (20, 0, 30, 10), (80, 80, 90, 90)


def test_overlap_of_boxes():
    assert intersection_over_union(A, A) == 1
    assert intersection_over_union(A, (5, 0, 15, 10)) == pytest.approx(1 / 3)
    assert intersection_over_union(A, (10, 0, 20, 10)) == 0


def test_all_found_is_one_and_nothing_found_is_none():
    truth = [[(0, A, False), (1, B, False)]]
    assert mean_average_precision([[(0, 0.9, A), (1, 0.8, B)]], truth)[0] == 1
    assert mean_average_precision([[]], truth) == (0, {0: 0, 1: 0})
    assert mean_average_precision([], []) == (0, {})


def test_a_wrong_box_before_the_right_one_costs_precision():
    truth = [[(0, A, False), (0, B, False)]]
    found = [[(0, 0.9, FAR), (0, 0.8, A), (0, 0.7, B)]]
    assert mean_average_precision(found, truth)[0] == pytest.approx(2 / 3)
    found = [[(0, 0.9, A), (0, 0.8, FAR), (0, 0.7, B)]]
    assert mean_average_precision(found, truth)[0] == pytest.approx(0.5 + 0.5 * 2 / 3)


def test_a_second_box_on_the_same_truth_is_wrong():
    assert mean_average_precision([[(0, 0.9, A), (0, 0.8, A)]], [[(0, A, False), (0, B, False)]])[0] == 0.5


def test_a_box_of_another_class_or_picture_is_wrong():
    assert mean_average_precision([[(1, 0.9, A)]], [[(0, A, False)]])[0] == 0
    assert mean_average_precision([[], [(0, 0.9, A)]], [[(0, A, False)], []])[0] == 0


def test_what_meets_a_crowd_counts_neither_way():
    truth = [[(0, A, False), (0, B, True)]]
    assert mean_average_precision([[(0, 0.9, B), (0, 0.8, A)]], truth)[0] == 1


def test_an_overlap_of_exactly_the_threshold_is_right():
    half = (0, 0, 10, 5)
    assert mean_average_precision([[(0, 0.9, half)]], [[(0, A, False)]])[0] == 1
