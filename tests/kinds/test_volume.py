"""Volumes: affine, type, scale and voxels as nibabel reads them, in files that hold more or less than one volume."""

import numpy as np
import pytest
from PIL import Image

from hyperinr.errors import InputError
from hyperinr.kinds.volume import VOLUME

nibabel = pytest.importorskip('nibabel')
AFFINE = np.array([[0, -2, 0, 5], [1.5, 0, 0, -7], [0, 0, 3, 1], [0, 0, 0, 1.0]])


def save(path, array, *, slope=None, inter=None):
    image = nibabel.Nifti1Image(array, AFFINE)
    image.header.set_xyzt_units('mm')
    image.header.set_slope_inter(slope, inter)
    nibabel.save(image, path)
    return path


def whole(kind):
    return np.random.default_rng(0).integers(0, 200, (5, 4, 3)).astype(kind)


@pytest.mark.parametrize(('kind', 'slope'), [('uint8', None), ('int16', 0.5), ('uint16', 3.0), ('float32', None)])
def test_voxels_affine_and_type_come_back(kind, slope, tmp_path):
    path = save(tmp_path / 'a.nii', whole(kind), slope=slope, inter=slope and -10.0)
    found = VOLUME.read(path)
    VOLUME.write(tmp_path / 'b.nii.gz', found.values, {**found.metadata, 'data_range': found.data_range})
    before, after = nibabel.load(path), nibabel.load(tmp_path / 'b.nii.gz')
    np.testing.assert_allclose(after.get_fdata(), before.get_fdata(), rtol=0, atol=0 if kind != 'float32' else 2e-5)
    np.testing.assert_allclose(after.affine, AFFINE)
    np.testing.assert_allclose(after.header.get_zooms(), (1.5, 2, 3))
    assert after.get_data_dtype() == kind
    assert found.metadata['spacing'] == [1.5, 2, 3]
    low, high = before.get_fdata().min(), before.get_fdata().max()
    np.testing.assert_allclose(found.values[..., 0], (before.get_fdata() - low) / (high - low), atol=1e-6)
    assert found.metadata['file_range'] == [low, high]


def test_another_resolution_fills_the_same_box(tmp_path):
    found = VOLUME.read(save(tmp_path / 'a.nii', whole('uint8')))
    finer = found.values.repeat(2, axis=0).repeat(4, axis=2)
    VOLUME.write(tmp_path / 'b.nii.gz', finer, {**found.metadata, 'data_range': found.data_range})
    affine = nibabel.load(tmp_path / 'b.nii.gz').affine
    for corner in (0, 1):  # of the boxes, half a voxel beyond the centres
        expected, actual = (
            each @ [*(np.array(shape) * corner - 0.5), 1]
            for each, shape in ((AFFINE, (5, 4, 3)), (affine, (10, 4, 12)))
        )
        np.testing.assert_allclose(actual, expected)


def test_spacing_resamples_a_ramp_to_a_ramp(tmp_path):
    ramp = np.broadcast_to(np.arange(12, dtype=np.float32)[:, None, None], (12, 4, 4))
    path = save(tmp_path / 'a.nii', ramp)
    found = VOLUME.read(path, spacing=(0.75, 2.0, 3.0))
    assert found.values.shape == (24, 4, 4, 1)
    np.testing.assert_allclose(np.diff(found.values[2:-2, 0, 0, 0]) * 11, 0.5, atol=1e-5)
    assert VOLUME.read(path, spacing=(3.0, 4.0, 3.0)).values.shape == (6, 2, 4, 1)
    with pytest.raises(InputError, match='samples, more than'):
        VOLUME.read(path, spacing=(1e-6, 1e-6, 1e-6))


def test_of_several_volumes_the_first_and_of_missing_voxels_weight_0(tmp_path):
    series = np.stack([whole('float32'), 0 * whole('float32')], axis=-1)
    series[1, 2, 0, 0] = np.nan
    found = VOLUME.read(save(tmp_path / 'a.nii', series))
    assert 'the first of 2 volumes' in found.notes
    expected = np.ones((5, 4, 3), np.float32)
    expected[1, 2, 0] = 0
    np.testing.assert_array_equal(found.weight, expected)
    assert np.isfinite(found.values).all()
    np.testing.assert_array_equal(found.datapoint().weight, expected.ravel())


def test_colours_are_channels(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 3), dtype=np.uint8)
    path = save(tmp_path / 'a.nii', pixels.view([('R', 'u1'), ('G', 'u1'), ('B', 'u1')])[..., 0])
    found = VOLUME.read(path, data_range=(0, 255))
    np.testing.assert_array_equal(np.round(found.values * 255), pixels)
    VOLUME.write(tmp_path / 'b.nii.gz', found.values, {**found.metadata, 'data_range': found.data_range})
    again = np.asarray(nibabel.load(tmp_path / 'b.nii.gz').dataobj)
    np.testing.assert_array_equal(np.stack([again[name] for name in 'RGB'], axis=-1), pixels)


def test_arrays_and_folders_of_slices_are_volumes(tmp_path):
    np.save(tmp_path / 'a.npy', whole('int16'))
    array = VOLUME.read(tmp_path / 'a.npy')
    assert array.values.shape == (5, 4, 3, 1)
    (tmp_path / 'slices').mkdir()
    for index, plane in enumerate(whole('uint16')):
        Image.fromarray(plane).save(tmp_path / 'slices' / f'{index}.png')
    slices = VOLUME.read(tmp_path / 'slices')
    np.testing.assert_array_equal(slices.values, array.values)
    assert '5 files as slices' in slices.notes
    Image.fromarray(np.zeros((4, 3), np.uint8)).save(tmp_path / 'slices' / '5.png')
    with pytest.raises(InputError, match=r"5.png' is uint8 .* and '0.png' uint16"):
        VOLUME.read(tmp_path / 'slices')
    np.save(tmp_path / 'flat.npy', np.zeros((4, 3)))
    with pytest.raises(InputError, match='other arrays --as array'):
        VOLUME.read(tmp_path / 'flat.npy')


def test_a_declared_size_is_refused_before_memory_is_taken(tmp_path):
    path = save(tmp_path / 'a.nii', whole('uint8'))
    content = bytearray(path.read_bytes())
    content[42:48] = (30000).to_bytes(2, 'little') * 3
    path.write_bytes(content)
    with pytest.raises(InputError, match='27,000,000,000,000 voxels, more than'):
        VOLUME.read(path)
    content[42:48] = (300).to_bytes(2, 'little') * 3
    path.write_bytes(content)
    with pytest.raises(InputError, match='corrupt or cut short'):
        VOLUME.read(path)
