import numpy as np

from edgetl.report.pictures import choose_images


def probabilities(confidences, classes):
    table_NK = np.zeros((len(classes), 3), np.float32)
    table_NK[range(len(classes)), classes] = confidences
    return table_NK


def test_the_most_confident_mistakes_come_first_and_right_answers_fill_up():
    reference_NK = probabilities([0.9, 0.5, 0.8, 0.7, 0.6], [0, 1, 1, 0, 0])
    labels_N = np.array([0, 0, 0, 0, 0])
    assert choose_images(reference_NK, labels_N, [], 4) == [2, 1, 0, 4]


def test_an_image_on_which_a_quantized_artifact_changes_its_mind_is_shown():
    reference_NK = probabilities([0.9] * 6, [0] * 6)
    other_N = np.array([0, 0, 0, 2, 0, 0])
    assert choose_images(reference_NK, np.zeros(6, int), [other_N], 3) == [3, 0, 5]


def test_a_small_split_is_shown_whole_and_no_image_twice():
    reference_NK = probabilities([0.9] * 5, [0, 1, 2, 0, 0])
    chosen = choose_images(reference_NK, np.array([0, 1, 1, 0, 0]), [np.array([1, 1, 1, 0, 0])], 12)
    assert sorted(chosen) == [0, 1, 2, 3, 4]


def test_mistakes_leave_room_for_right_answers():
    reference_NK = probabilities([0.9] * 40, [1] * 30 + [0] * 10)
    chosen = choose_images(reference_NK, np.zeros(40, int), [], 12)
    assert len(chosen) == 12
    assert sum(i < 30 for i in chosen) == 8
