"""Whether label files can be published into a folder: its file system needs locks, its path no question mark.

Asked before hours of mapping, and of the folder above where there is none yet. Knows nothing of label files.
"""

import errno
import fcntl
import secrets
from pathlib import Path

from worker.errors import LabelFileError

_NOT_SUPPORTED = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOLCK}
_ELSEWHERE = "Choose another folder with NEURONYM_DATA."


def check_data_folder(data: Path) -> None:
    """Check that a label file can be published into `data`; that it can be written is seen with the first shard.

    Raises:
        LabelFileError: it cannot, and why.
    """
    folder = data.resolve()
    if "?" in str(folder):
        raise LabelFileError(f"DuckDB writes no files where a path has a question mark, as {folder} has. {_ELSEWHERE}")
    existing = next(place for place in (folder, *folder.parents) if place.is_dir())
    probe = existing / f".probe-{secrets.token_hex(4)}"
    try:
        with probe.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _NOT_SUPPORTED:
            raise LabelFileError(
                f"The file system of {existing} has no locks ({error.strerror}), which keep two runs from working on "
                f"one model. {_ELSEWHERE}"
            ) from error
    finally:
        probe.unlink(missing_ok=True)
