"""Wrong values: as text of a binding or an option, and as arguments of library calls."""

import numpy as np

__all__ = ['ARGUMENTS', 'TEXTS', 'damaged']

TEXTS = (
    '-1', '0', '1', '2', '3', '7', '2.5', '1.0', '1e3', '-0.0', '1e-400', '1e400', '-1e400', '1e39', '2**70',
    str(2**70), str(-(2**70)), str(2**31), str(2**63), '9' * 400, 'True', 'False', 'None', '()', '[]', '{}', "''",
    "'a'", "'1'", "'[red]'", "'\\n'", "'\\x00'", "'²'", "'/'", "'\\ud800'", '(0,)', '(0, 1)', '(1, 2, 3)', '[1, 2]',
    '(-1, 4)', '(4.5, 4)', '(True, 4)', "('a', 'b')", '(1e400, 1)', '(None, None)', '((1, 2), (3, 4))',
    "{'a': 1}", '1j', 'nan', 'inf', '@nothing', '@siren', '@siren()', '@convolutional', '%SEED', '%NOTHING', '', '=',
    '(', "'", '\\', '1 +', 'b"a"', '...', '{1}', '1_000', '0x10', '"a" "b"', '# a', '[' * 100 + ']' * 100,
    '[' * 10_000 + ']' * 10_000, "'" + 'a' * 5000 + "'", '(1, 2', '²', 'ſ', '\u202e', '\x00', 'a\nb',
)  # fmt: skip
"""Values of a binding, also given as values of options."""

ARGUMENTS = (
    None, True, -1, 0, 1, 2.5, float('nan'), float('inf'), 10**30, 1j, '', 'a', '[red]', b'a', (), (0,), (0, 0),
    (-1, 4), (2.5, 4), (10**6, 10**6), (2**70, 1), ('a', 'b'), {}, {'a': 1}, [], [1, 2], [True], object(), np.zeros(()),
    np.zeros(0), np.zeros((0, 3)), np.zeros(3), np.zeros((2, 3)), np.zeros((2, 3), np.float16),
    np.zeros((2, 3), complex), np.array(['a', 'b']), np.array([None, {}], object), np.full((2, 3), np.nan),
    np.ones((2, 3), bool), np.zeros((1, 2, 3, 4)), np.float64(2.5), np.int64(3), np.uint8(1), range(3),
)  # fmt: skip
"""Arguments of library calls."""


def altered(array: np.ndarray) -> list:
    """Return arrays that differ from a right one in type, shape or content."""
    array = np.asarray(array)
    wrong = [array.astype(kind) for kind in (np.float16, np.float64, np.int64, bool, complex, object, str)]
    wrong += [array[..., :-1], array[..., None], array[None], array[:0], np.swapaxes(array, 0, -1), array.reshape(-1)]
    if array.dtype.kind == 'f':
        wrong += [np.full_like(array, number) for number in (np.nan, np.inf, -1, 1e30)]
    return [*wrong, array.tolist()]


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """Return the content of a file with one damage: flips, cut, insertion, a huge number, nothing, other content."""
    place = int(rng.integers(len(content) + 1))
    kind = int(rng.integers(9))
    if kind == 0 and content:
        flipped = bytearray(content)
        for position in rng.integers(len(content), size=int(rng.integers(1, 4))):
            flipped[position] ^= 1 << int(rng.integers(8))
        return bytes(flipped)
    if kind == 1:
        return content[:place]
    if kind == 2:
        return content[:place] + rng.bytes(int(rng.integers(1, 9))) + content[place:]
    if kind == 3:
        return content[:place] + content[min(place + int(rng.integers(1, 30)), len(content)) :]
    if kind == 4:
        return (b'', b'\x00' * 64, b'[]', b'{}', b'null', b'1', b'"a"', b'\xff\xfe', b'[' * 100_000)[
            int(rng.integers(9))
        ]
    digits = [index for index, byte in enumerate(content[:20_000]) if chr(byte).isdigit() and byte < 128]
    if digits:
        first = int(rng.choice(digits))
        end = first
        while end < len(content) and content[end : end + 1].isdigit():
            end += 1
        numbers = (b'-1', b'0', b'1e400', b'99999999999999999999999', b'NaN', b'null', b'"a"', b'1.5', b'true', b'[]',
                   b'{}', b'4000000000')  # fmt: skip
        return content[:first] + numbers[int(rng.integers(len(numbers)))] + content[end:]
    return content[place:] + content[:place]
