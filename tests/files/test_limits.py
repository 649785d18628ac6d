"""Small files that declare much are refused before memory is taken, by the reader of each kind of file."""

import json
import os
import struct
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest

from hyperinr.errors import InputError
from hyperinr.files import limits, read_image, read_weights
from hyperinr.files.meshes import read_mesh

MIB = 2**20


def png(width, height):
    def chunk(kind, data):
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))

    header = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    parts = chunk(b'IHDR', header), chunk(b'IDAT', zlib.compress(bytes(100))), chunk(b'IEND', b'')
    return b'\x89PNG\r\n\x1a\n' + b''.join(parts)


def npy(shape, data=bytes(60)):
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + '\n'
    return b'\x93NUMPY\x01\x00' + struct.pack('<H', len(header)) + header.encode() + data


def tiff(width, height):
    """A TIFF of float32 with one empty strip."""
    entries = (256, width), (257, height), (258, 32), (259, 1), (262, 1), (273, 8), (277, 1), (279, 0), (339, 3)
    tags = b''.join(struct.pack('<HHII', tag, 4, 1, value) for tag, value in entries)
    return b'II*\0' + struct.pack('<IH', 8, len(entries)) + tags + bytes(4)


def archive(*members, compression=zipfile.ZIP_STORED):
    def write(path):
        with zipfile.ZipFile(path, 'w', compression) as opened:
            for name, content in members:
                opened.writestr(f'{name}.npy', content)

    return write


def safetensors(shape, *offsets):
    tensors = {f'layer_{k}.w': {'dtype': 'F32', 'shape': shape, 'data_offsets': each} for k, each in enumerate(offsets)}
    header = json.dumps({'__metadata__': {'metadata': '{}'}, **tensors}).encode()
    return struct.pack('<Q', len(header)) + header + bytes(16)


COUNT = 10**12
PLY = f'ply\nformat binary_little_endian 1.0\nelement vertex {COUNT}\nproperty float x\nproperty float y\n' \
    f'property float z\nelement face {COUNT}\nproperty list uchar int vertex_indices\nend_header\n'  # fmt: skip
FILES = {
    'a.npy': (npy((100_000, 100_000, 3)), 'declares an array of shape .* 120,000,000,000 bytes, and holds 60: .*again'),
    'b.npy': (npy((-1, -1, 3)), 'not a readable .npy array .*: save it again'),
    'c.npy': (npy((10**30,)), 'declares an array'),
    'a.png': (png(13_000, 13_000), '169,000,000 pixels, more than the 134,217,728 that are read; cut it'),
    'b.png': (png(30_000, 30_000), '900,000,000 pixels, more than the 134,217,728 that are read; cut it'),
    'a.tif': (tiff(2**20, 2**20), '1,099,511,627,776 pixels, more than the 134,217,728 that are read'),
    'a.npz': (archive(('layer_0.w', npy((2**30,)))), 'declares an array of shape .* 4,294,967,296 bytes, and holds 60'),
    'b.npz': (
        archive(*((name, npy((MIB,), bytes(4 * MIB))) for name in 'ab'), compression=zipfile.ZIP_DEFLATED),
        r'unpacks to 8,388,864 bytes, more than the 8,388,608 that are read; write it again',
    ),
    'c.npz': (archive(('metadata', npy((1,))), ('weights', npy((1,)))), 'no npz file of hyperinr, or damaged'),
    'a.safetensors': (safetensors([COUNT, COUNT], (0, 16)), 'damaged .*overflow.*; write it again'),
    'b.safetensors': (safetensors([4], (0, 16), (0, 16)), 'damaged .*invalid offset.*; write it again'),
    'c.safetensors': (struct.pack('<Q', 2**60) + b'{}', 'damaged .*header too large.*; write it again'),
    'a.ply': (PLY.encode(), 'not a triangle mesh that can be read .*; remove or repair it'),
    'a.off': (f'OFF\n{COUNT} {COUNT} 0\n0 0 0\n'.encode(), 'not a triangle mesh that can be read .*; remove or repair'),
    'a.stl': (bytes(80) + struct.pack('<I', 2**32 - 1) + bytes(50), 'holds no triangles; remove it'),
    'a.obj': (f'v 0 0 0\nf 1 2 {COUNT}\n'.encode(), 'not a triangle mesh that can be read .*; remove or repair it'),
    'b.obj': (b'#' * (MIB + 1), '1,048,577 bytes, more than the 1,048,576 that are read; simplify'),
}
NEEDS = {'.tif': 'tifffile', '.ply': 'trimesh', '.off': 'trimesh', '.stl': 'trimesh', '.obj': 'trimesh'}


def read(path):
    readers = {'.npz': read_weights, '.safetensors': read_weights, **dict.fromkeys(NEEDS, read_mesh)}
    readers['.tif'] = read_image
    return readers.get(path.suffix, read_image)(path)


@pytest.mark.parametrize('name', FILES)
def test_a_declared_size_is_refused_before_memory_is_taken(name, tmp_path, monkeypatch):
    content, said = FILES[name]
    path = tmp_path / name
    if path.suffix in NEEDS:
        pytest.importorskip(NEEDS[path.suffix])
    monkeypatch.setattr(limits, 'MOST_UNPACKED_BYTES', 8 * MIB)
    monkeypatch.setattr(limits, 'MOST_MESH_BYTES', MIB)
    content(path) if callable(content) else path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=said) as raised:
            read(path)
        assert tracemalloc.get_traced_memory()[1] < 32 * MIB
    finally:
        tracemalloc.stop()
    assert name in str(raised.value)
    assert '\n' not in str(raised.value)


@pytest.mark.parametrize('name', ['a.png', 'a.npy', 'a.npz', 'a.safetensors', 'a.stl'])
def test_what_is_no_regular_file_is_said_and_never_waited_for(name, tmp_path):
    os.mkfifo(tmp_path / name)
    with pytest.raises(InputError, match=rf'{name}. is a pipe, a socket or a device; copy its content into a file'):
        read(tmp_path / name)
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    with pytest.raises(InputError, match=rf'{name}. is a folder, not an? .*file; give a file in it'):
        read(tmp_path / name)


def test_what_is_within_the_limits_is_read(tmp_path):
    for version in ((1, 0), (2, 0)):
        with (tmp_path / 'a.npy').open('wb') as file:
            np.lib.format.write_array(file, np.full((3, 4), 0.5, np.float32), version)
        assert read_image(tmp_path / 'a.npy').image.shape == (3, 4, 3)
    (tmp_path / 'a.npz').write_bytes(b'')
    np.savez_compressed(tmp_path / 'a.npz', metadata=np.array('{}'), **{'layer_0.w': np.zeros((100, 100), np.float32)})
    assert read_weights(tmp_path / 'a.npz')[0]['layer_0']['w'].shape == (100, 100)
