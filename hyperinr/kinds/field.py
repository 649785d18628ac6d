"""Fields on the sphere: latitudes before longitudes, one channel a variable, of NetCDF and GRIB files.

Latitudes are brought to north first and longitudes to 0 eastward, whatever their order in the file.
"""

import itertools
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hyperinr import coordinates
from hyperinr.annotations import checked
from hyperinr.errors import InputError
from hyperinr.files.limits import check_pixels
from hyperinr.files.netcdf import described, opened_dataset, packed, position, stored_type
from hyperinr.files.refusals import encoding
from hyperinr.kinds.base import Kind, Signal
from hyperinr.kinds.globe import UNITS, Globe, is_axis, whole
from hyperinr.kinds.values import as_type, file_values, mapped
from hyperinr.runtime.extras import import_extra
from hyperinr.runtime.outputs import SAID, replacing_output

__all__ = ['FIELD', 'num_frames', 'read_field', 'read_frames']

GRIB_SUFFIXES = ('.grib', '.grb', '.grib2', '.grb2')


class _Content(NamedTuple):
    """Some fields of a file: ``array [T, H, W, C]``, and the entries of `Signal.metadata`, without the range."""

    array: np.ndarray
    globe: Globe
    about: dict[str, Any]
    notes: list[str]


@checked
def read_field(
    path: Path,
    *,
    channels: int | None = None,
    data_range: tuple[float, float] | None = None,
    spacing: tuple[float, ...] | None = None,
    variables: Sequence[str] | None = None,
    frame: int = 0,
) -> Signal:
    """Read one field of a file, ``[H, W, C]``; see `hyperinr.kinds.base.Read`.

    A grid that is regular, from pole to pole and all around has no ``coords``; any other has its own. Points without
    a value (land, NaN, ``_FillValue``) have weight 0. Variables of one unit share one ``file_range``, others have each
    their own.

    Args:
      path: path of the file.
      channels: number of variables, to be sure of it.
      data_range: see `Read`.
      spacing: ``None``: a field is not resampled.
      variables: names of the variables that become channels; ``None``: all numeric ones of latitude and longitude.
      frame: position along the first axis before latitude and longitude, e.g. time; of further axes the first
        position is read.

    Raises:
      InputError: a wrong file or argument, or a missing package.
    """
    content = _read(path, variables, frame)
    if spacing is not None:
        raise InputError(f'{str(path)!r}: a field is read on the grid of its file, not with a spacing of {spacing}.')
    if channels not in (None, content.array.shape[-1]):
        raise InputError(
            f'{str(path)!r} has {content.array.shape[-1]} variables, not {channels}; choose some by --variables.'
        )
    field = _signal(content, data_range, path)
    return field._replace(values=field.values[0], weight=None if field.weight is None else field.weight[0])


@checked
def read_frames(
    path: Path, *, data_range: tuple[float, float] | None = None, variables: Sequence[str] | None = None
) -> Signal:
    """Read all fields along the first axis before latitude and longitude: values ``[T, H, W, C]`` in one range.

    ``weight`` is ``[T, H, W]``, ``coords`` ``[H, W, D]`` those of one field; ``metadata['leading'][0]['values']`` are
    the T positions in the units of the file. Arguments and errors as of `read_field`.
    """
    return _signal(_read(path, variables, None), data_range, path)


@checked
def num_frames(path: Path, *, variables: Sequence[str] | None = None) -> int:
    """Return T, the fields that `read_frames` reads. Errors as of `read_field`."""
    with opened_dataset(path) as data:
        return _choice(data, path, variables).num_frames


def _signal(content: _Content, data_range: tuple[float, float] | None, path: Path) -> Signal:
    array, globe, about, notes = content
    units = [str(variable['attributes'].get('units')) for variable in about['variables']]
    values, weight = np.empty(array.shape, np.float32), np.ones(array.shape[:-1], np.float32)
    ranges: list[list[float]] = [[]] * len(units)
    for unit in dict.fromkeys(units):
        mine = [channel for channel, each in enumerate(units) if each == unit]
        found = mapped(array[..., mine], data_range, path)
        values[..., mine] = found.values
        weight *= 1 if found.weight is None else found.weight
        notes.extend(
            f'{", ".join(about["variables"][channel]["name"] for channel in mine)}: {note}' for note in found.notes
        )
        for channel in mine:
            ranges[channel] = list(found.file_range)
    return Signal(
        values,
        (0.0, 1.0),
        {'file_range': ranges if len(set(units)) > 1 else ranges[0], **about},
        tuple(notes),
        coords=None if globe.is_whole() else globe.coords(),
        weight=None if weight.all() else weight,
        layout=coordinates.SPHERE,
    )


class _Choice(NamedTuple):
    """What is read of a file: names of the axes and variables, and the first leading axis, if there is any."""

    latitude: str
    longitude: str
    variables: list[str]
    leading: list[str]
    num_frames: int


def _choice(data: Any, path: Path, variables: Sequence[str] | None) -> _Choice:
    axes = [(name, found.attrs) for name, found in data.variables.items() if found.dims == (name,)]
    pairs = itertools.product(
        *([name for name, attributes in axes if is_axis(what, name, attributes)] for what in ('latitude', 'longitude'))
    )
    on = {
        pair: [
            name
            for name, found in data.data_vars.items()
            if set(pair) <= set(found.dims) and found.dtype.kind in 'iuf' and found.size
        ]
        for pair in pairs
    }
    pair = max(on, key=lambda each: len(on[each]), default=None)
    if pair is None or not on[pair]:
        raise InputError(f'{str(path)!r} has no variable on an axis of latitude and one of longitude; regrid it.')
    missing = [name for name in variables or () if name not in on[pair]]
    if missing or (variables is not None and len(variables) == 0):
        wanted = f'no variable {missing[0]!r} on its latitudes and longitudes' if missing else 'no variable chosen'
        raise InputError(f'{str(path)!r} has {wanted}; there are {", ".join(on[pair])}.')
    names = list(dict.fromkeys(variables or on[pair]))
    leading = list(dict.fromkeys(axis for name in names for axis in data[name].dims if axis not in pair))
    latitude, longitude = pair
    return _Choice(latitude, longitude, names, leading, data.sizes[leading[0]] if leading else 1)


def _read(path: Path, variables: Sequence[str] | None, frame: int | None) -> _Content:
    """Read one frame, or all for ``None``."""
    with opened_dataset(path) as data:
        chosen = _choice(data, path, variables)
        latitude, longitude, names, leading, num_frames = chosen
        if frame is not None and not 0 <= frame < num_frames:
            raise InputError(f'{str(path)!r} has frames 0 to {num_frames - 1}, not {frame}.')
        count = num_frames if frame is None else 1
        check_pixels(path, count * data.sizes[latitude] * data.sizes[longitude] * len(names), 'values')
        at = dict.fromkeys(leading, slice(0, 1))
        if leading:
            at[leading[0]] = slice(None) if frame is None else slice(frame, frame + 1)
        picked = data[names].isel(at)
        globe = Globe(*(np.asarray(data[axis].values, np.float64) for axis in (latitude, longitude)))
        if not (np.isfinite(globe.latitude).all() and np.isfinite(globe.longitude).all()):
            raise InputError(f'{str(path)!r} has latitudes or longitudes that are not finite; regrid it.')
        if np.abs(globe.latitude).max() > 90.001:
            raise InputError(f'{str(path)!r} has latitudes beyond 90 degrees; correct its axes.')
        globe = globe._replace(latitude=np.clip(globe.latitude, -90, 90))
        channels = []
        for name in names:
            axes = [axis for axis in leading if axis in picked[name].dims]
            values = np.array(picked[name].transpose(*axes, latitude, longitude).values)
            shape = (-1 if leading and leading[0] in axes else 1, *values.shape[-2:])
            planes = globe.read(values.reshape(shape))
            channels.append(np.broadcast_to(planes, (count, *planes.shape[1:])))
        about: dict[str, Any] = {
            'variables': [{'name': name, **packed(data[name])} for name in names],
            'leading': [position(data, axis, at[axis]) for axis in leading],
        }
        for what, axis in (('latitude', latitude), ('longitude', longitude)):
            about[what] = {'name': axis, 'values': data[axis].values.tolist(), **described(data[axis])}
        notes = [
            f'the first of {data.sizes[axis]} along {axis}' if not at[axis].start else f'{axis} {at[axis].start}'
            for axis in leading
            if data.sizes[axis] > 1 and at[axis].stop is not None
        ]
        if variables is None:
            notes.append(f'variables: {", ".join(names)}')
        return _Content(np.stack(channels, axis=-1), globe, about, notes)


def _globe(shape: tuple[int, ...], metadata: Mapping[str, Any]) -> Globe:
    """Return axes of ``shape`` over the part of the sphere that the file covers; over all of it for no file."""
    if 'latitude' not in metadata:
        return whole(*shape)
    globe = Globe(*(np.asarray(metadata[what]['values'], np.float64) for what in ('latitude', 'longitude')))
    if not (np.isfinite(globe.longitude).all() and (np.abs(globe.latitude) <= 90.001).all()):
        raise InputError('the metadata have latitudes or longitudes that are none; take those of the fit.')
    return globe if tuple(map(len, globe.ordered())) == shape else globe.resized(*shape)


def _places(shape: tuple[int, ...], metadata: Mapping[str, Any]) -> np.ndarray:
    return _globe(shape, metadata).coords()


def _write(path: Path, values: np.ndarray, metadata: Mapping[str, Any]) -> None:
    xarray = import_extra('xarray', needed_by=f'the field {str(path)!r}', package='xarray', extra='field')
    with encoding(path, 'a field'):
        height, width, channels = values.shape
        globe, axes = _globe((height, width), metadata), metadata.get('leading', [])
        coords: dict[str, tuple] = {
            each['name']: ([each['name']], np.array([each['value']], stored_type(each)), each['attributes'])
            for each in axes
        }
        for what, places in zip(('latitude', 'longitude'), globe, strict=True):
            axis = {'name': what, 'attributes': {'units': UNITS[what][0]}, **metadata.get(what, {})}
            coords[axis['name']] = ([axis['name']], places.astype(stored_type(axis)), axis['attributes'])
        planes = globe.unread(np.moveaxis(file_values(values, metadata), -1, 0))
        shape, arrays = (*[1] * len(axes), *planes.shape[1:]), {}
        usual = [{'name': f'channel_{channel}', 'dtype': 'float32'} for channel in range(channels)]
        for variable, plane in zip(metadata.get('variables', usual), planes, strict=True):
            # Packed here: xarray would wrap values around that round to beyond the type.
            packing = variable.get('packing', {})
            offset, factor = (float(packing.get(key, usual)) for key, usual in (('add_offset', 0), ('scale_factor', 1)))
            if not (np.isfinite([offset, factor]).all() and factor):
                raise InputError(f'the metadata pack values by {factor} and {offset}; take those of the fit.')
            stored = (plane - offset) / factor
            attributes = {**variable.get('attributes', {}), **packing}
            arrays[variable['name']] = (
                list(coords),
                as_type(stored, stored_type(variable)).reshape(shape),
                attributes,
            )
        made = xarray.Dataset(arrays, coords, {'history': SAID, 'Conventions': 'CF-1.8'})
        for variable in made.variables.values():  # By default xarray declares NaN as the fill value of every float.
            variable.encoding['_FillValue'] = variable.attrs.pop('_FillValue', None)
    with replacing_output(path) as temporary, encoding(path, 'a field'), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        made.to_netcdf(temporary.absolute(), engine='scipy', format='NETCDF3_64BIT')


FIELD = Kind(
    'field', ('.nc', '.nc4', '.cdf', *GRIB_SUFFIXES), '.nc', read_field, _write, 2, coordinates.SPHERE, _places
)
"""Values in [0, 1]; written as NetCDF 3 with the axes, names, units and types of the file."""
