"""One try of the fuzzer: a call with a wrong value or a damaged file, and what counts as a defect of the answer."""

import contextlib
import io
import os
import re
import shlex
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import hyperinr
from hyperinr import cli
from hyperinr.errors import InputError, RunError

__all__ = ['Stop', 'Try', 'command', 'defect_of', 'stopping']

STATUSES = (0, 1, 2, 75, 130)
PACKAGE = Path(hyperinr.__file__).parent
NOTES = ('preparing ',)
"""Beginnings of lines that tell of progress."""
LONGEST_MESSAGE = 2000
"""Characters; a long value may be repeated in part."""


class Try(NamedTuple):
    """One try.

    Attributes:
      kind: what is tried, for the table of results.
      repeat: a shell command or an expression that repeats it.
      call: ``() -> None``; raises `DefectError`, or what the library raises.
    """

    kind: str
    repeat: str
    call: Callable[[], Any]


class DefectError(Exception):
    """What a command may not answer."""


class Stop(KeyboardInterrupt):
    """Ends a command where its checks are over and its work would begin."""


class TooLong(BaseException):
    """The try exceeded its seconds."""


@contextlib.contextmanager
def stopping(*places: tuple[Any, str, bool]) -> Iterator[None]:
    """Let functions end the command: ``(module, name, after)``; ``after``: once the function itself has returned."""
    saved = [(module, name, getattr(module, name)) for module, name, _ in places]

    def ending(function: Callable[..., Any], after: bool) -> Callable[..., Any]:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            if after:
                function(*args, **kwargs)
            raise Stop('stopped')

        return wrapper

    try:
        for module, name, after in places:
            setattr(module, name, ending(getattr(module, name), after))
        yield
    finally:
        for module, name, function in saved:
            setattr(module, name, function)


def files_below(folder: Path) -> dict[str, int]:
    """Return the files and folders below ``folder`` and their sizes."""
    found = {}
    for path in sorted(folder.rglob('*')):
        with contextlib.suppress(OSError):
            found[os.fspath(path.relative_to(folder))] = path.stat().st_size if path.is_file() else -1
    return found


def command(arguments: Sequence[str], folder: Path) -> None:
    """Run ``hyperinr ARGUMENTS`` in this process and judge its answer.

    Args:
      arguments: of the command.
      folder: where it writes; a wrong call or input (status 2) leaves it unchanged.

    Raises:
      DefectError: the answer is not one line with a status of the documented ones, or something is left half-written.
    """
    before = files_below(folder)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = cli.main(list(arguments))
        except SystemExit as stop:
            status = stop.code
    lines = [line for line in err.getvalue().splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith(NOTES)]
    errors = [line for line in lines if line.startswith('hyperinr: error:')]
    if status not in STATUSES:
        raise DefectError(f'status {status}: {lines[-1:]}')
    if 'error: unexpected' in err.getvalue() or 'Traceback' in err.getvalue():
        raise DefectError(' '.join(lines)[:500])
    if status in (1, 2) and (len(errors) != 1 or lines[-1] != errors[0]):
        raise DefectError(f'not one line at the end: {lines[-6:]}')
    if any(not line.startswith('hyperinr: ') for line in lines):
        raise DefectError(
            f'not a line of hyperinr: {[line for line in lines if not line.startswith("hyperinr: ")][:3]}'
        )
    if errors and len(errors[0]) > LONGEST_MESSAGE:
        raise DefectError(f'an error of {len(errors[0])} characters: {errors[0][:200]}')
    after = files_below(folder)
    if left := [name for name in after if '.partial' in name]:
        raise DefectError(f'half-written files are left: {left}')
    if status == 2 and after != before:
        raise DefectError(f'status 2, but written: {sorted(set(after.items()) ^ set(before.items()))[:4]}')


def defect_of(attempt: Try, *, seconds: int = 60) -> str | None:
    """Run a try; return in words what is wrong with the answer, ``None`` if nothing is."""

    def too_long(*_: Any) -> None:
        raise TooLong

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(seconds)
    try:
        attempt.call()
    except DefectError as defect:
        return str(defect)
    except TooLong:
        return f'hangs: more than {seconds} s'
    except Stop:
        pass
    except (InputError, RunError) as error:
        return _wrong_message(error)
    except MemoryError:
        pass
    except (TypeError, ValueError, IndexError) as error:
        frames = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]
        if not Path(frames[-1]).is_relative_to(PACKAGE) and not _is_wrong_signature(error):
            return f'from {"/".join(Path(frames[-1]).parts[-3:])}: {type(error).__name__}: {str(error)[:300]}'
        return _wrong_message(error)
    except Exception as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if str(PACKAGE) in frame.filename]
        place = f'{Path(frames[-1].filename).name}:{frames[-1].lineno}' if frames else '?'
        return f'{type(error).__name__} at {place}: {str(error)[:300]}'
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return None


def _is_wrong_signature(error: Exception) -> bool:
    return bool(re.search(r'\(\) (got an unexpected|missing \d+ required)', str(error)))


def _wrong_message(error: Exception) -> str | None:
    text = str(error)
    if not text or '\n' in text or len(text) > LONGEST_MESSAGE:
        return f'{type(error).__name__} is not one line: {text[:300]!r}'
    return None


def shown(arguments: Sequence[str]) -> str:
    """Return a shell command that repeats a call."""
    return 'hyperinr ' + ' '.join(shlex.quote(word) if len(word) < 300 else f'{word[:80]}...' for word in arguments)
