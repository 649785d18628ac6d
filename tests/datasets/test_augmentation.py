import numpy as np

from hyperinr.datasets.augmentation import augment, symmetry


def test_the_eight_symmetries_of_a_square_are_distinct_and_each_permutes_the_pixels():
    image = np.arange(9).reshape(3, 3, 1)
    images = augment(np.repeat(image[None], 8, axis=0), np.arange(8))
    assert len({tuple(i.ravel()) for i in images}) == 8
    for i in images:
        assert sorted(i.ravel()) == list(range(9))
    np.testing.assert_array_equal(images[0], image)
    np.testing.assert_array_equal(images[1], image[::-1])
    np.testing.assert_array_equal(images[2], image[:, ::-1])
    np.testing.assert_array_equal(images[4, ..., 0], image[..., 0].T)


def test_a_non_square_image_is_flipped_but_keeps_its_shape():
    image = np.arange(6).reshape(1, 2, 3)
    np.testing.assert_array_equal(augment(image, np.array([4])), image)
    np.testing.assert_array_equal(augment(image, np.array([5])), image[:, ::-1])


def test_the_choice_depends_on_seed_index_and_epoch_and_not_on_the_batch():
    indices = np.arange(4000)
    choice = symmetry(3, indices, 5)
    np.testing.assert_array_equal(choice[70:90], symmetry(3, indices[70:90], 5))
    np.testing.assert_array_equal(choice[:9], symmetry(3, indices[:9], np.full(9, 5)))
    for other in (symmetry(4, indices, 5), symmetry(3, indices, 6), symmetry(3, indices + 1, 5)):
        np.testing.assert_allclose(np.mean(choice == other), 1 / 8, atol=0.02)
    np.testing.assert_allclose(np.bincount(choice, minlength=8) / 4000, 1 / 8, atol=0.02)
