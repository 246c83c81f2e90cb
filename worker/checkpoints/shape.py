"""A model without values, for the names and sizes of its parameters before anything is loaded."""

from typing import TYPE_CHECKING

import torch
from transformers import PreTrainedConfig

from worker.errors import CheckpointError

if TYPE_CHECKING:  # importing it takes longer than the rest of transformers
    from transformers import PreTrainedModel


def empty_model(config: PreTrainedConfig, dtype: torch.dtype) -> "PreTrainedModel":
    """Build the model that a configuration describes on torch's meta device, which holds no values.

    Raises:
        CheckpointError: the configuration describes no possible model.
    """
    from transformers import AutoModelForCausalLM  # only here: it is most of transformers, in time and memory

    try:
        with torch.device("meta"):
            model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=dtype)  # type: ignore[no-untyped-call]
    except (ValueError, TypeError, RuntimeError, ArithmeticError, AssertionError) as error:
        why = " ".join(str(error).split())
        raise CheckpointError(f"The configuration describes no possible model ({why}). Download it again.") from error
    return model
