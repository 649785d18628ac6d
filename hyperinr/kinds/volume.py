"""Volumes: three axes of voxels. A folder of images is read as a volume too, one slice a file."""

import logging
import math
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hyperinr.errors import InputError
from hyperinr.files.arrays import read_npy
from hyperinr.files.image_files import decode_file
from hyperinr.files.limits import check_pixels
from hyperinr.files.refusals import decoding, encoding
from hyperinr.kinds.base import Kind, Signal
from hyperinr.kinds.stacks import images_of
from hyperinr.kinds.values import as_type, check_spacing, file_values, mapped, resampled
from hyperinr.runtime.extras import import_extra
from hyperinr.runtime.files import check_regular
from hyperinr.runtime.outputs import SAID, replacing_output

__all__ = ['VOLUME']

GZIP_HEADER = b'\x1f\x8b\x08\x10\0\0\0\0\0\xff' + SAID.encode() + b'\0'
"""With a comment and no time, so that equal volumes are equal files. RFC 1952, section 2.3."""


def _nibabel(path: Path) -> Any:
    nibabel = import_extra('nibabel', needed_by=f'the volume {str(path)!r}', package='nibabel', extra='volume')
    logging.getLogger('nibabel.global').setLevel(logging.CRITICAL)  # It also logs the errors that it raises.
    return nibabel


def _read(
    path: Path,
    *,
    channels: int | None = None,
    data_range: tuple[float, float] | None = None,
    spacing: tuple[float, ...] | None = None,
) -> Signal:
    spacing = check_spacing(spacing, 3, 'the millimetres from voxel to voxel along each axis')
    about: dict[str, Any] = {}
    if path.is_dir():
        array, notes = _read_slices(path)
    elif path.suffix.lower() == '.npy':
        check_regular(path, 'volume file')
        array, notes = read_npy(path, lambda shape: check_pixels(path, math.prod(shape), 'voxels')), []
        if array.ndim != 3:
            raise InputError(f'{str(path)!r} has shape {array.shape}; a volume is [D, H, W], other arrays --as array.')
        array = array[..., None]
    else:
        check_regular(path, 'volume file')
        array, about, notes = _read_nifti(path)
    if channels not in (None, array.shape[-1]):
        raise InputError(f'{str(path)!r} has {array.shape[-1]} channel(s) and cannot be read with {channels}.')
    found = mapped(array, data_range, path)
    values, weight, distances = found.values, found.weight, about.get('spacing', [1.0, 1.0, 1.0])
    about = {'dtype': array.dtype.name, **about, 'grid_shape': list(values.shape[:3]), 'spacing': distances}
    if spacing is not None:
        old = zip(values.shape[:3], distances, spacing, strict=True)
        grid = [max(1, round(n * distance / wanted)) for n, distance, wanted in old]
        values = resampled(values, grid, path)
        weight = None if weight is None else resampled(weight[..., None], grid, path)[..., 0]
        notes.append(f'resampled from {tuple(about["grid_shape"])} to {tuple(grid)} voxels')
    metadata = {'file_range': list(found.file_range), **about}
    return Signal(values, (0.0, 1.0), metadata, (*notes, *found.notes), weight=weight)


def _read_slices(path: Path) -> tuple[np.ndarray, list[str]]:
    """Return the slices ``[D, H, W, C]`` in the type of the files, and notes."""
    files = images_of(path, 'slices')
    slices: list[np.ndarray] = []
    for file in files:
        decoded = decode_file(file)
        if slices and (decoded.values.shape, decoded.values.dtype) != (slices[0].shape, slices[0].dtype):
            raise InputError(
                f'{str(file)!r} is {decoded.values.dtype.name} {decoded.values.shape} and {files[0].name!r} '
                f'{slices[0].dtype.name} {slices[0].shape}; all slices of a volume have one size and type.'
            )
        slices.append(decoded.values)
        check_pixels(path, len(slices) * slices[0].size, 'voxels')
    return np.stack(slices), [*decoded.notes, f'{len(slices)} files as slices']


def _read_nifti(path: Path) -> tuple[np.ndarray, dict[str, Any], list[str]]:
    """Return the voxels ``[D, H, W, C]``, what is known of them, and notes."""
    nibabel = _nibabel(path)
    with decoding(path, 'a NIfTI volume'):
        image = nibabel.load(path)
        if not isinstance(image, nibabel.Nifti1Image):
            raise InputError(f'{str(path)!r} is no NIfTI file; convert it to .nii.gz.')
        shape, kind = image.shape, image.header.get_data_dtype()
        check_pixels(path, math.prod(shape), 'voxels')
        if min(shape, default=0) < 1 or len(shape) < 2:
            raise InputError(f'{str(path)!r} has shape {shape}; a volume has three axes.')
        first = tuple(slice(None) if axis < 3 else 0 for axis in range(len(shape)))
        array = np.asanyarray(image.dataobj[first])
        if array.dtype.names:  # RGB and RGBA voxels
            array, kind = np.stack([array[name] for name in array.dtype.names], axis=-1), np.dtype(np.uint8)
        else:
            array = array.reshape(*shape[:3], *[1] * (4 - len(shape[:3])))
        notes = [f'the first of {math.prod(shape[3:])} volumes'] if math.prod(shape[3:]) > 1 else []
        affine = np.asarray(image.affine, np.float64)
        zooms = [float(each) for each in (*image.header.get_zooms()[:3], 1.0)[:3]]
        if not np.isfinite(affine).all() or not all(0 < each < math.inf for each in zooms):
            raise InputError(f'{str(path)!r} states no valid affine; correct its header.')
        slope, inter = image.dataobj.slope, image.dataobj.inter
        unit = image.header.get_xyzt_units()[0]
        about = {'dtype': kind.name, 'slope': float(slope), 'inter': float(inter), 'affine': affine.tolist()}
        factor = {'meter': 1000.0, 'micron': 0.001}.get(unit, 1.0)
        return array, {**about, 'unit': unit, 'spacing': [factor * each for each in zooms]}, notes


def _write(path: Path, values: np.ndarray, metadata: Mapping[str, Any]) -> None:
    nibabel = _nibabel(path)
    with encoding(path, 'a volume'):
        if values.ndim != 4 or values.shape[-1] not in (1, 3):
            raise ValueError(f'values of shape {values.shape}')
        kind, slope, inter = metadata.get('dtype', 'float32'), metadata.get('slope', 1.0), metadata.get('inter', 0.0)
        voxels = as_type((file_values(values, metadata) - inter) / slope, kind)
        if voxels.shape[-1] == 3:
            if voxels.dtype != np.uint8:
                raise ValueError(f'colours of type {kind}')
            voxels = np.ascontiguousarray(voxels).view([('R', 'u1'), ('G', 'u1'), ('B', 'u1')])
        voxels = voxels[..., 0]
        if voxels.dtype == bool or voxels.dtype == np.float16:
            voxels = voxels.astype(np.uint8 if voxels.dtype == bool else np.float32)
        affine = _scaled(metadata, values.shape[:3])
        image = nibabel.Nifti1Image(voxels, affine, dtype=voxels.dtype)
        image.header.set_slope_inter(slope, inter)
        if metadata.get('unit', 'mm') != 'unknown':
            image.header.set_xyzt_units(metadata.get('unit', 'mm'))
        content = image.to_bytes()
    with replacing_output(path) as temporary:
        packer = zlib.compressobj(6, wbits=-zlib.MAX_WBITS)
        packed = packer.compress(content) + packer.flush()
        ends = zlib.crc32(content).to_bytes(4, 'little') + (len(content) % 2**32).to_bytes(4, 'little')
        temporary.write_bytes(GZIP_HEADER + packed + ends)


def _scaled(metadata: Mapping[str, Any], shape: tuple[int, ...]) -> np.ndarray:
    """Return the affine of a grid of another resolution over the same space: voxel centres fill the same box."""
    affine = np.array(metadata.get('affine', np.diag([*metadata.get('spacing', (1.0, 1.0, 1.0)), 1.0])), np.float64)
    factors = np.asarray(metadata.get('grid_shape', shape), np.float64) / shape
    # Voxel i of n lies at (i + 1/2) / n of the box; so voxel j of m is voxel (j + 1/2) n / m - 1/2 of the file.
    step = np.diag([*factors, 1.0])
    step[:3, 3] = factors / 2 - 0.5
    return affine @ step


VOLUME = Kind('volume', ('.nii.gz', '.nii', '.npy'), '.nii.gz', _read, _write, num_axes=3)
"""Values in [0, 1] by the file's least and greatest value; ``spacing`` in millimetres, resampled linearly.

Axes as in the file. Written as NIfTI with the affine, in the type of the file and by its scale and offset.
"""
