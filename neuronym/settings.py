"""The settings of app and worker in one class, read from environment variables with the prefix NEURONYM_.

Only values and their validation; how a secret is sent and checked is in `neuronym.access`.
"""

from pathlib import Path

from pydantic import ByteSize, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from neuronym.access import SHORTEST

LEAST_MEMORY = 100_000_000  # bytes; DuckDB can run no useful query with less
ROOT = Path(__file__).resolve().parent.parent


class Settings(BaseSettings):
    """All settings; the environment variable of each is NEURONYM_ and its name in capitals.

    docs/operations.md lists them; a test compares.
    """

    model_config = SettingsConfigDict(env_prefix="NEURONYM_", extra="ignore", hide_input_in_errors=True)

    data: Path = Field(Path("data"), description="Folder of the library: a label file for each model and pair.")
    host: str = Field("127.0.0.1", description="Address the app listens on.")
    port: int = Field(8000, ge=0, le=65535, description="Port the app listens on; 0 picks a free one.")
    worker_url: str | None = Field(
        None, description="Address of a worker service. Unset: `neuronym serve` starts one of its own."
    )
    device: str = Field("auto", description="Where the worker computes: auto, cpu, cuda, cuda:1, mps.")
    queue: int = Field(8, ge=1, le=10_000, description="Clamp requests that may wait; one more is answered 503.")
    threads: int | None = Field(None, ge=1, description="CPU threads of the worker. Unset: all cores.")
    model_memory: ByteSize | None = Field(
        None, description="Memory of the worker's live models, e.g. 16GB. Unset: half of the machine's, 85% of a GPU's."
    )
    token: SecretStr | None = Field(
        None, description="Secret that running a model asks for: clamps, sweeps, counts of tokens. Unset: anyone may."
    )
    private: bool = Field(False, description="Ask for the token on every page and every question, too.")
    worker_secret: SecretStr | None = Field(
        None, description="Secret between app and worker, the same for both. The app makes one for a worker of its own."
    )
    open: bool = Field(
        False, description="Listen beyond this machine without a secret, for something else keeps people out."
    )
    memory_limit: ByteSize = Field(
        ByteSize(2_000_000_000),
        ge=LEAST_MEMORY,
        description="Memory DuckDB may use while a file is built; the app takes a quarter of it.",
    )

    @field_validator("token", "worker_secret", mode="before")
    @classmethod
    def _long_enough(cls, value: str | SecretStr | None) -> str | SecretStr | None:
        """Turn an empty secret into None; refuse a short one, which can be guessed."""
        text = value.get_secret_value() if isinstance(value, SecretStr) else value or ""
        if text and len(text) < SHORTEST:
            raise ValueError(f"is too short to be a secret: {SHORTEST} characters at least")
        return value or None

    @model_validator(mode="after")
    def _private_by_a_token(self) -> "Settings":
        if self.private and self.token is None:
            raise ValueError("NEURONYM_PRIVATE asks for a token on every page: set NEURONYM_TOKEN, too")
        return self
