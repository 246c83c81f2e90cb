"""What a checkpoint's files claim about each other: its configuration, tensors and adapter must be of one model."""

from transformers import PreTrainedConfig

from worker.checkpoints.adapter import Adapter
from worker.checkpoints.families import FAMILIES, Family, mixture_refusal
from worker.checkpoints.quantised import MEND
from worker.checkpoints.stored import StoredModel
from worker.errors import CheckpointError

_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")


def find_family(spec: str, config: PreTrainedConfig) -> Family:
    """The family of a model by its configuration.

    Raises:
        CheckpointError: it is not known, or its MLPs are mixtures of experts.
    """
    if any(getattr(config, name, None) for name in _EXPERTS):
        raise CheckpointError(mixture_refusal(spec, config.model_type))
    family = FAMILIES.get(config.model_type)
    if family is None:
        known = ", ".join(sorted(FAMILIES))
        raise CheckpointError(f"{spec} is of the unknown architecture {config.model_type!r}. Known: {known}.")
    return family


def check_layers(spec: str, family: Family, stored: StoredModel) -> None:
    """Refuse a model whose configuration has another number of layers than its tensors.

    Raises:
        CheckpointError: it has; a part of the model would be taken for the whole, or its building would never end.
    """
    layers = stored.config.num_hidden_layers

    def holds(layer: int) -> bool:
        return stored.tensors.has(f"{family.layers_path}.{layer}.{family.down}.weight")

    if not holds(0):
        raise CheckpointError(
            f"{spec} has no tensor '{family.layers_path}.0.{family.down}.weight'. Is it complete, and of the family it "
            "claims?"
        )
    if not isinstance(layers, int) or layers < 1 or not holds(layers - 1) or holds(layers):
        raise CheckpointError(
            f"{spec} has {layers} layers by its configuration, but its weights have another number. Take both from one "
            "model."
        )


def check_layout(spec: str, family: Family, stored: StoredModel) -> None:
    """Refuse a quantised model of a family that stores its weights the other way round.

    Raises:
        CheckpointError: it is one; transformers turns such weights round when it quantises them, and others do not.
    """
    if family.transposed and stored.tensors.quantised:
        raise CheckpointError(
            f"{spec} is a quantised {stored.config.model_type} model, which may store its weights either way round. "
            f"{MEND}"
        )


def check_adapter(spec: str, family: Family, stored: StoredModel, adapter: Adapter) -> None:
    """Refuse an adapter that changes anything but modules of the model's layers.

    Raises:
        CheckpointError: it does.
    """
    layers = [f"{family.layers_path}.{layer}." for layer in range(int(stored.config.num_hidden_layers))]
    outside = sorted(name for name in adapter.modules if not name.startswith(tuple(layers)))
    if outside:
        raise CheckpointError(
            f"{adapter.folder} changes {outside[0]!r}, which is in no layer of {spec}. "
            "Merge it with peft's merge_and_unload and give the saved folder."
        )
    unknown = min((name for name in adapter.modules if not stored.tensors.has(f"{name}.weight")), default=None)
    if unknown:
        raise CheckpointError(
            f"{adapter.folder} changes {unknown!r}, which {spec} does not have. Was it trained on this model?"
        )
