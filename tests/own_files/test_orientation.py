"""Images that are not square come back as they were: rows as rows, columns as columns, nothing mirrored."""

import numpy as np
from PIL import Image

from hyperinr import cli, coordinates, neural_datasets
from tests.neural_datasets.tiny_store import write_config

CONFIG = """
SEEDS = (0,)
NUM_STEPS = 300
TARGET_PSNR_DB = None
include 'dataset/image_folder.gin'
include 'inr/siren.gin'
include 'fit_optimizer/adam.gin'
include 'fit_schedule/cosine.gin'
include 'fit_start/random.gin'
include 'neural_dataset/default.gin'
"""
HEIGHT, WIDTH = 6, 10


def test_reconstructions_match_the_files_pixel_for_pixel(tmp_path):
    """Every pixel is another colour, so that a transposition or a flip could not go unnoticed."""
    rng = np.random.default_rng(0)
    (tmp_path / 'photos').mkdir()
    for number in range(3):
        pixels = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / 'photos' / f'{number}.png')
    sizes = (
        f'image_folder.path={str(tmp_path / "photos")!r}',
        f'image_folder.resolution=({HEIGHT}, {WIDTH})',
        'siren.width=48',
        'siren.depth=2',
        'adam.learning_rate=5e-3',
        'neural_dataset.num_parallel=1',
    )
    params = [word for binding in sizes for word in ('-p', binding)]
    store_folder = tmp_path / 'store'
    config = write_config(tmp_path, CONFIG)
    assert cli.main(['fit', str(config), '--store', str(store_folder), *params, '--debug']) == 0
    store = neural_datasets.open_store(store_folder)
    from hyperinr.cli.stores import store_config
    from hyperinr.library import compose_signals

    signals = compose_signals(store_config(store_folder))[2]
    rows = (2 * np.arange(HEIGHT) + 1) / HEIGHT - 1
    columns = (2 * np.arange(WIDTH) + 1) / WIDTH - 1
    coords = np.array([[row, column] for row in rows for column in columns], np.float32)
    np.testing.assert_allclose(coords, coordinates.grid((HEIGHT, WIDTH)), atol=1e-6)
    for inr in range(3):
        source, offset = signals._locate(store.column('source_index')[inr])
        name = source.names(offset).split()[0]
        original = np.asarray(Image.open(tmp_path / 'photos' / name))
        tree = {layer: {key: leaf[0] for key, leaf in leaves.items()} for layer, leaves in store.pytrees([inr]).items()}
        values = np.asarray(store.inr.apply(tree, coords)).reshape(HEIGHT, WIDTH, 3)
        rebuilt = np.round(255 * np.clip(values, 0, 1)).astype(int)
        np.testing.assert_array_equal(rebuilt, original)
