"""Files of the library that an earlier version wrote, written anew as files of this one, measurements included.

The rows of a model are copied, and what is derived from them is derived anew. A pair is copied as it is, as its models
may have been mapped again since it was compared.
"""

from collections.abc import Callable, Mapping, Sequence

from neuronym.library import FileKind, LabelFileEntry, label_file
from neuronym.settings import Settings
from worker.labelfile.model_file import stored_contents
from worker.library.holds import hold
from worker.library.publish import NewFiles


def renew(
    outdated: Mapping[FileKind, Sequence[LabelFileEntry]], settings: Settings, tell: Callable[[str], None]
) -> str:
    """Write these files anew, make them current, and return the library's run id.

    Args:
        tell: called with a line before each model and pair.

    Raises:
        LabelFileError: another run works on one of them, or a file cannot be built.
    """
    data = settings.data
    with hold(data, {kind: [entry.name for entry in entries] for kind, entries in outdated.items()}):
        files = NewFiles(settings)
        for entry in outdated["model"]:
            tell(f"{entry.name}: its labels and measurements are copied.")
            files.build_model(entry.name, stored_contents(label_file(data, "model", entry)))
        for entry in outdated["pair"]:
            tell(f"{entry.name}: its comparison is copied.")
            files.copy_pair(entry.name, label_file(data, "pair", entry))
        return files.make_current()
