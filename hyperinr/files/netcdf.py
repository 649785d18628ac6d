"""NetCDF and GRIB files as ``xarray.Dataset``, and what JSON keeps of one so that such a file can be written."""

import contextlib
import logging
import math
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hyperinr.errors import InputError
from hyperinr.files.limits import MOST_UNPACKED_BYTES
from hyperinr.files.refusals import decoding
from hyperinr.runtime.extras import import_extra
from hyperinr.runtime.files import check_regular, plain

__all__ = ['described', 'opened_dataset', 'packed', 'position', 'stored_type']

TYPES = ('int8', 'int16', 'int32', 'float32', 'float64')
"""What NetCDF 3 holds; values of other types are written as the last."""


@contextlib.contextmanager
def opened_dataset(path: Path) -> Iterator[Any]:
    """Open a file as an ``xarray.Dataset``; its values are read when they are asked for.

    Raises:
      InputError: no NetCDF or GRIB file, one that takes its content from other files, or a missing package.
    """
    check_regular(path, 'field file')
    what = f'the field {str(path)!r}'
    xarray = import_extra('xarray', needed_by=what, package='xarray', extra='field')
    options: dict[str, Any] = {}
    with decoding(path, 'a field'), warnings.catch_warnings():
        warnings.simplefilter('ignore')  # Of attributes that break the conventions, which are read all the same.
        with path.open('rb') as file:
            start = file.read(8)
        if start[:4] == b'\x89HDF':
            _check_hdf5(path)
            import_extra('h5netcdf', needed_by=what, package='h5netcdf', extra='field')
            options = {'engine': 'h5netcdf'}
        elif start[:4] == b'GRIB':
            import_extra('cfgrib', needed_by=what, package='cfgrib', extra='grib')
            logging.getLogger('cfgrib').setLevel(logging.CRITICAL)
            options = {'engine': 'cfgrib', 'backend_kwargs': {'indexpath': ''}}  # writes no index beside the file
        elif start[:3] == b'CDF':
            options = {'engine': 'scipy'}
        else:
            raise InputError(f'{str(path)!r} is no NetCDF or GRIB file, or is corrupt: save it again, or leave it out.')
        # Times stay numbers: they are written again with the units and the calendar of the file.
        with xarray.open_dataset(path.absolute(), decode_times=False, **options) as data:
            yield data


def _check_hdf5(path: Path) -> None:
    """Raise `InputError` if an HDF5 file takes any content from another file, or has a part too large for memory."""
    h5py = import_extra('h5py', needed_by=f'the field {str(path)!r}', package='h5py', extra='field')

    def fault(name: str, link: Any) -> str | None:
        found: Any = file[name] if isinstance(link, h5py.HardLink) else None
        is_data = isinstance(found, h5py.Dataset)
        if isinstance(link, h5py.ExternalLink) or (is_data and (found.external or found.is_virtual)):
            return f'keeps {name!r} in another file; copy the data into one file.'
        chunk = math.prod(found.chunks) * found.dtype.itemsize if is_data and found.chunks else 0
        if chunk > MOST_UNPACKED_BYTES:
            return f'unpacks {name!r} in parts of {chunk:,} bytes; write it again, in smaller chunks.'
        return None

    with h5py.File(path, 'r') as file:
        found = file.visititems_links(fault)  # the first that is not None
    if found is not None:
        raise InputError(f'{str(path)!r} {found}')


def described(variable: Any) -> dict[str, Any]:
    """Return what is needed to write an axis as it was, beside its values."""
    attributes = {name: value for name, value in plain(dict(variable.attrs)).items() if _is_plain(value)}
    return {'attributes': attributes, 'dtype': variable.dtype.name}


def packed(variable: Any) -> dict[str, Any]:
    """Return what is needed to write a variable as it was, beside its values."""
    held = {key: variable.encoding.get(key) for key in ('scale_factor', 'add_offset', '_FillValue')}
    packing = {key: value for key, value in plain(held).items() if isinstance(value, int | float)}
    kind = np.dtype(variable.encoding.get('dtype', variable.dtype)).name
    return {**described(variable), 'dtype': kind, 'packing': packing}


def _is_plain(value: Any) -> bool:
    """Tell whether NetCDF 3 holds an attribute: text, and numbers of 32 bits or real."""
    if isinstance(value, list):
        return bool(value) and all(_is_plain(each) and not isinstance(each, str) for each in value)
    return isinstance(value, str | float) or (type(value) is int and abs(value) < 2**31)


def position(data: Any, axis: str, at: slice) -> dict[str, Any]:
    """Return the name of a leading axis, its value at a position, and its attributes; of all frames all values."""
    places = plain(data[axis].values) if axis in data.coords else []
    if not places or not all(isinstance(place, int | float) for place in places):
        return {'name': axis, 'value': at.start or 0, 'attributes': {}, 'dtype': 'int32'}
    all_places = {'values': places} if at.stop is None else {}
    return {'name': axis, 'value': places[at.start or 0], **all_places, **described(data[axis])}


def stored_type(described: Mapping[str, Any]) -> str:
    """Return the type in which NetCDF 3 holds what was `described`."""
    kind = described.get('dtype', TYPES[-1])
    return kind if kind in TYPES else TYPES[-1]
