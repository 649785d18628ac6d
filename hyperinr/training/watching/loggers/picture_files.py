"""Write the pictures of evaluators as PNG files."""

from hyperinr.files.images import quantise, write_picture
from hyperinr.training.watching.loggers.base import Logger, OpenLogger, Record, RunFacts

__all__ = ['picture_files']

FOLDER = 'training_pictures'


def picture_files() -> Logger:
    """Write the run's ``training_pictures/EVALUATOR_IMAGE_STEP.png``; the step has eight digits."""

    def open_folder(facts: RunFacts) -> OpenLogger:
        folder = facts.run_dir / FOLDER
        for path in folder.glob('*_*.png'):
            step = path.stem.rpartition('_')[2]
            if step.isdecimal() and int(step) > facts.start:
                path.unlink()

        def write(record: Record) -> None:
            for name, picture in record.findings.images.items():
                write_picture(folder / f'{record.kind}_{name}_{record.step:08}.png', quantise(picture))

        return OpenLogger(write)

    return Logger('picture_files', open_folder)
