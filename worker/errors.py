"""Errors of the worker whose messages are sentences that tell users what to do."""


class CheckpointError(ValueError):
    """A checkpoint cannot be opened or mapped. The message names the cause and what to do."""


class LabelFileError(RuntimeError):
    """A label file cannot be built or read. The message names the cause and what to do."""


class ForeignFileError(LabelFileError):
    """A file that somebody else made is not what a label file is. The reason is what is wrong with it."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The file is not taken in: {reason}. Ask for one that `neuronym-worker export-file` has written."
        )


class RequestError(ValueError):
    """A request cannot be run with the values it has. The message names the field and what is allowed."""


class EngineError(RuntimeError):
    """The chosen engine or device cannot map layers. The message names the cause and what to do."""


def first_line(error: BaseException) -> str:
    """The first line of a library's message, to go into a sentence: without the stop at its end."""
    return str(error).strip().partition("\n")[0].rstrip(".: ")
