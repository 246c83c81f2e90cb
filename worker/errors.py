"""What can go wrong before a model is mapped or clamped, as sentences a user can act on."""


class CheckpointError(ValueError):
    """A checkpoint cannot be had or cannot be mapped. The message names the cause and the mend."""


class LabelFileError(RuntimeError):
    """A label file cannot be built or read. The message names the cause and the mend."""


class RequestError(ValueError):
    """A request cannot be run as asked. The message names the field and what is allowed."""


class EngineError(RuntimeError):
    """Layers cannot be mapped where it was asked for. The message names the cause and the mend."""
