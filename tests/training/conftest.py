import contextlib
import resource
from collections.abc import Callable, Iterator

import pytest

from hyperinr.training import closing


@pytest.fixture
def file_size_limit() -> Callable[[int], contextlib.AbstractContextManager[None]]:
    """``with file_size_limit(bytes):`` no file can grow beyond it; the nearest thing to a full disk without one."""

    @contextlib.contextmanager
    def limit(size: int) -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limit


@pytest.fixture(scope='session', autouse=True)
def small_matrix_product() -> Iterator[None]:
    """What every finished run is compared with takes seconds on eight devices of a small machine."""
    real = closing.matrix_product_gflops
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(closing, 'matrix_product_gflops', lambda devices: real(devices, size=64, repetitions=1))
        yield
