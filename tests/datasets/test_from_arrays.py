"""Your own arrays as datapoints: each form of a split, ranges and units, drawn splits, fingerprints, wrong input."""

import logging

import numpy as np
import pytest

from hyperinr import config, coordinates, datasets, library
from hyperinr.datasets import Arrays, from_arrays
from hyperinr.errors import InputError

RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(0, 1, (7, 3, 4, 2)).astype(np.float32)


@pytest.mark.parametrize('shape', [(5,), (3, 4), (2, 3, 4), (2, 3, 2, 2)])
def test_a_grid_of_any_number_of_axes(shape):
    values = RNG.uniform(0, 1, (3, *shape, 2))
    dataset = from_arrays(train=values, validation=values, test=values)
    assert (dataset.spec.grid_shape, dataset.spec.coord_dims, dataset.spec.channels) == (shape, len(shape), 2)
    np.testing.assert_array_equal(dataset.splits['test'][1].coords, coordinates.grid(shape))
    np.testing.assert_array_equal(dataset.splits['test'].image(1), values[1].astype(np.float32))


def test_arrays_files_and_lists_of_one_shape_are_the_same_data(tmp_path):
    np.save(tmp_path / 'images.npy', IMAGES)
    in_memory, mapped = from_arrays(train=IMAGES), from_arrays(train=tmp_path / 'images.npy')
    assert in_memory.spec == mapped.spec == from_arrays(train=list(IMAGES)).spec
    assert in_memory.fingerprint == mapped.fingerprint
    for index in range(len(in_memory.splits['train'])):
        np.testing.assert_array_equal(in_memory.splits['train'].image(index), mapped.splits['train'].image(index))


def test_a_file_is_read_where_it_is_needed(tmp_path):
    np.save(tmp_path / 'images.npy', IMAGES)
    dataset = from_arrays(train=str(tmp_path / 'images.npy'), validation=IMAGES, test=IMAGES)
    before = dataset.splits['train'].image(2).copy()
    changed = np.lib.format.open_memmap(tmp_path / 'images.npy', 'r+')
    changed[2] = 0.25
    changed.flush()
    np.testing.assert_array_equal(dataset.splits['train'].image(2), np.full_like(before, 0.25))


def test_signals_of_many_shapes_lie_on_their_own_grids_and_are_padded():
    signals = [np.full((2 + index, 3, 1), index / 10) for index in range(4)]
    spec, splits, _ = from_arrays(train=signals, validation=signals[:1], test=[np.ones((7, 2, 1))])
    assert (spec.grid_shape, spec.num_points) == (None, 15)
    for index, signal in enumerate(signals):
        datapoint, number = splits['train'][index], signal.size
        np.testing.assert_array_equal(datapoint.coords[:number], coordinates.grid(signal.shape[:2]))
        np.testing.assert_allclose(datapoint.values[:number], index / 10)
        np.testing.assert_array_equal(datapoint.weight, np.arange(15) < number)
    assert splits['test'][0].weight.sum() == 14


@pytest.mark.parametrize('shared', [True, False])
def test_scattered_points_have_the_coordinates_that_are_given(shared):
    coords, values = RNG.uniform(-1, 1, (4, 6, 3)), RNG.uniform(0, 1, (4, 6, 1))
    coords = coords[0] if shared else coords
    spec, splits, _ = from_arrays(train=(coords, values), validation=(coords, values), test=(coords, values))
    assert (spec.grid_shape, spec.num_points, spec.coord_dims) == (None, 6, 3)
    np.testing.assert_array_equal(splits['test'][3].coords, (coords if shared else coords[3]).astype(np.float32))
    np.testing.assert_array_equal(splits['test'][3].values, values[3].astype(np.float32))


def test_sets_of_different_sizes_are_padded():
    coords = [RNG.uniform(-1, 1, (3 + index, 2)) for index in range(3)]
    spec, splits, _ = from_arrays(train=(coords, [each[:, :1] for each in coords]), data_range=(-1, 1))
    assert (spec.num_points, spec.data_range, spec.source_range) == (5, (-1.0, 1.0), None)
    assert sorted(each[0].weight.sum() for each in splits.values()) == [3, 4, 5]
    for source in splits.values():
        number = int(source[0].weight.sum())
        np.testing.assert_array_equal(source[0].values[:number, 0], coords[number - 3][:, 0].astype(np.float32))


def test_a_sphere_has_its_own_coordinates():
    fields = RNG.uniform(0, 1, (3, 4, 6, 1))
    spec, splits, _ = from_arrays(train=fields, layout='sphere')
    assert from_arrays(train=fields, kind='field').spec == spec._replace(kind='field')
    assert (spec.layout, spec.coord_dims) == ('sphere', 3)
    np.testing.assert_array_equal(splits['train'][0].coords, coordinates.grid((4, 6), 'sphere'))
    ragged, splits, _ = from_arrays(
        train=[np.ones((2 + index, 4, 1)) for index in range(3)], layout='sphere', data_range=(0, 1)
    )
    assert (ragged.grid_shape, ragged.layout) == (None, 'sphere')
    assert type(ragged).from_json(ragged._asdict()) == ragged
    found = {int(source[0].weight.sum()): source[0].coords for source in splits.values()}
    np.testing.assert_array_equal(found[12][:12], coordinates.grid((3, 4), 'sphere'))


@pytest.mark.parametrize(
    ('values', 'given', 'data_range', 'source_range'),
    [
        (np.uint8([3, 200]), None, (0, 1), (0, 255)),
        (np.uint16([3, 200]), None, (0, 1), (0, 65535)),
        (np.array([False, True]), None, (0, 1), None),
        (np.array([0.2, 0.7]), None, (0, 1), None),
        (np.array([-0.2, 0.7]), None, (0, 1), (-0.2, 0.7)),
        (np.array([250, 310]), None, (0, 1), (250, 310)),
        (np.array([251.0, 300.0]), (250, 310), (0, 1), (250, 310)),
        (np.array([-0.2, 0.7]), (-1, 1), (-1, 1), None),
        (np.array([0, 1]), (0, 1), (0, 1), None),
    ],
)
def test_the_range_of_the_source_becomes_that_of_the_data(values, given, data_range, source_range):
    signals = np.broadcast_to(values[:, None], (3, 2, 1))
    spec, splits, _ = from_arrays(train=signals, data_range=given)
    assert (spec.data_range, spec.source_range) == (data_range, source_range)
    assert type(spec)._fields == tuple(spec._asdict())
    assert type(spec).from_json(spec._asdict()) == spec
    low, high = source_range or data_range
    expected = data_range[0] + (values - low) / (high - low) * (data_range[1] - data_range[0])
    np.testing.assert_allclose(splits['test'][0].values[:, 0], expected, atol=1e-6)
    np.testing.assert_allclose(spec.to_source_units(splits['test'][0].values[:, 0]), values, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(spec.from_source_units(values), expected, atol=1e-6)


def test_points_of_weight_0_hold_anything_and_count_for_nothing():
    values, weights = np.float32(10 + np.arange(24).reshape(4, 3, 2, 1)), np.ones((4, 3, 2))
    weights[2, 1, 1] = 0
    clean = from_arrays(train=Arrays(values, weights=weights))
    for anything in (np.nan, np.inf, -999.0):
        values[2, 1, 1] = anything
        spec, splits, _ = from_arrays(train=Arrays(values, weights=weights))
        assert spec == clean.spec
    found = {split.names(index): split[index] for split in splits.values() for index in range(len(split))}
    np.testing.assert_array_equal(found['train 2'].weight, [1, 1, 1, 0, 1, 1])
    np.testing.assert_array_equal(found['train 1'].weight, np.ones(6))


def test_labels_go_along():
    labels = np.array([2, 0, 1, 0, 2, 1, 1])
    spec, splits, _ = from_arrays(train=Arrays(IMAGES, labels=labels))
    assert spec.num_labels == 3
    for source in splits.values():
        rows = [int(source.names(index).split()[1]) for index in range(len(source))]
        np.testing.assert_array_equal(source.labels, labels[rows])


def test_missing_splits_are_drawn_once_each_from_the_training_signals():
    values = np.arange(40).reshape(40, 1, 1) / 40.0
    names = lambda dataset: {split: [*map(source.names, range(len(source)))] for split, source in dataset[1].items()}
    drawn = names(from_arrays(train=values))
    assert {split: len(each) for split, each in drawn.items()} == {'train': 32, 'validation': 4, 'test': 4}
    assert len(set().union(*drawn.values())) == 40
    assert drawn != names(from_arrays(train=values, seed=1))
    given = names(from_arrays(train=values, test=values[:3]))
    assert (len(given['train']), given['test']) == (36, ['test 0', 'test 1', 'test 2'])


def test_the_fingerprint_depends_on_all_that_the_data_depend_on():
    changed = IMAGES.copy()
    changed[3, 1, 1, 1] /= 2
    alike = [from_arrays(train=IMAGES, name=name).fingerprint for name in ('a', 'b')]
    others = [
        from_arrays(train=changed),
        from_arrays(train=IMAGES, seed=1),
        from_arrays(train=IMAGES, data_range=(0, 2)),
        from_arrays(train=IMAGES, test=IMAGES),
        from_arrays(train=Arrays(IMAGES, weights=np.full(IMAGES.shape[:3], 0.5))),
        from_arrays(train=Arrays(IMAGES, labels=np.arange(7))),
        from_arrays(train=Arrays(IMAGES, coords=coordinates.grid((3, 4)).reshape(3, 4, 2))),
    ]
    assert alike[0] == alike[1]
    assert len({alike[0], *(each.fingerprint for each in others)}) == 8


def test_held_out_values_outside_the_range_are_kept_and_told(caplog):
    with caplog.at_level(logging.WARNING):
        dataset = from_arrays(train=IMAGES, test=IMAGES * 1.2)
    assert dataset.splits['test'].image(0).max() == pytest.approx(1.2 * IMAGES[0].max())
    assert 'test has values from' in caplog.text
    assert 'validation' not in caplog.text


def test_a_config_names_files(tmp_path):
    np.save(tmp_path / 'images.npy', IMAGES)
    path = tmp_path / 'mine.gin'
    path.write_text("include 'experiment/photo_patches_siren.gin'\ninclude 'dataset/arrays.gin'\n")
    with pytest.raises(InputError, match='datasets.from_arrays.train must be set'):
        config.load_config(str(path))
    with config.applied(config.load_config(str(path), [f"from_arrays.train='{tmp_path / 'images.npy'}'"])):
        made = library.compose().dataset()
    assert made.fingerprint == from_arrays(train=IMAGES).fingerprint


NAN = IMAGES.copy()
NAN[2, 0, 0, 0] = np.nan
WEIGHTS = np.ones(IMAGES.shape[:3])
NO_POINT = WEIGHTS.copy()
NO_POINT[1] = 0
WRONG = [
    ({'train': IMAGES[..., 0, 0]}, r'train must be values \[n, \*grid, C\] with 1 to 4 axes .* \(7, 3\)'),
    ({'train': np.zeros((2,) * 7)}, '1 to 4 axes'),
    ({'train': [IMAGES[0], IMAGES[0, 0, 0]]}, '1 to 4 axes'),
    ({'train': IMAGES.astype(complex)}, 'complex: give real and imaginary part as two channels'),
    ({'train': IMAGES.astype(object)}, 'of type object, no real numbers'),
    ({'train': np.array(['a', 'b'])}, 'no real numbers'),
    ({'train': 3}, 'must be arrays or paths of .npy files, not int'),
    ({'train': None}, 'must be arrays or paths of .npy files, not NoneType'),
    ({'train': []}, 'is empty'),
    ({'train': IMAGES[:0]}, 'empty, of shape'),
    ({'train': (IMAGES, IMAGES, IMAGES)}, r'a tuple of 3; give \(coords, values\)'),
    ({'train': NAN}, 'not finite in signal 2: give these points weight 0'),
    ({'train': IMAGES, 'test': IMAGES[:, :2]}, r'test has signals of shape \(2, 4, 2\) and from_arrays.train of'),
    ({'train': IMAGES, 'test': IMAGES[..., :1]}, 'bring them to one shape'),
    ({'train': [IMAGES[0], IMAGES[1, ..., :1]]}, r'signals of \[1, 2\] channels'),
    ({'train': IMAGES[:2]}, 'has 2 signals, too few to draw validation and test from them; give at least 3'),
    ({'train': IMAGES[:1], 'test': IMAGES}, 'too few to draw validation from them; give at least 2'),
    ({'train': np.full_like(IMAGES, 3)}, 'every value of from_arrays.train is 3'),
    ({'train': IMAGES, 'data_range': (0.5, 1)}, r'values from .* and data_range is \(0.5, 1\): widen it'),
    ({'train': IMAGES, 'data_range': (1, 0)}, 'low below high'),
    ({'train': (3 * IMAGES, IMAGES)}, r'coordinates from .*; they must lie in \[-1, 1\]: rescale each axis'),
    ({'train': (IMAGES[:3], IMAGES)}, 'give each value its D coordinates'),
    ({'train': Arrays(IMAGES, weights=WEIGHTS[..., :2])}, 'weights of shape'),
    ({'train': Arrays(IMAGES, weights=-WEIGHTS)}, 'weights that are negative'),
    ({'train': Arrays(IMAGES, weights=NO_POINT)}, 'all zero in one of the signals 0 to 6'),
    ({'train': Arrays(IMAGES, labels=np.arange(3))}, 'must have 7 labels'),
    ({'train': Arrays(IMAGES, labels=-np.arange(7))}, 'must have 7 labels'),
    ({'train': Arrays(IMAGES, labels=np.arange(7)), 'test': IMAGES}, 'some splits of from_arrays have labels'),
    ({'train': IMAGES, 'kind': 'smell'}, "there is no kind of signal 'smell'"),
    ({'train': IMAGES[:, 0], 'kind': 'image'}, "kind 'image' has a grid of 2 axes, and these arrays have 1"),
    ({'train': IMAGES, 'spacing': (0.1,)}, 'spacing must be 2 numbers > 0'),
    ({'train': IMAGES[:, :1], 'layout': 'sphere'}, r'needs grids .*, not \(1, 4\)'),
    (
        {'train': (IMAGES[:, 0], IMAGES[:, 0]), 'layout': 'sphere'},
        'or the 3 coordinates .*, not 2 coordinates',
    ),
    ({'train': IMAGES, 'seed': -1}, 'seed'),
]


@pytest.mark.parametrize(('arguments', 'said'), WRONG)
def test_wrong_arrays_are_named_in_one_line(arguments, said):
    with pytest.raises(InputError, match=said) as error:
        from_arrays(**arguments)
    assert '\n' not in str(error.value)


def test_wrong_files_are_named_in_one_line(tmp_path):
    path = tmp_path / 'train.npy'
    whole = tmp_path / 'whole.npy'
    np.save(whole, IMAGES)
    pickled = tmp_path / 'pickled.npy'
    np.save(pickled, np.array([{}], object), allow_pickle=True)
    contents = {
        'it is cut short or damaged': whole.read_bytes()[:-8],
        'is no .npy file': b'something else',
        'cannot be read': whole.read_bytes()[:20],
        'cannot be read .*': pickled.read_bytes(),
    }
    for said, content in contents.items():
        path.write_bytes(content)
        with pytest.raises(InputError, match=said) as error:
            from_arrays(train=path)
        assert '\n' not in str(error.value)
    for missing, said in ((tmp_path / 'none.npy', 'there is no .npy file'), (tmp_path, 'is a folder')):
        with pytest.raises(InputError, match=said):
            datasets.from_arrays(train=missing)
