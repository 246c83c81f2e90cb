"""Every knob of app and worker in one class, read from the environment with the prefix NEURONYM_."""

from pathlib import Path

from pydantic import ByteSize, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

ROOT = Path(__file__).resolve().parent.parent


class Settings(BaseSettings):
    """Environment variable = NEURONYM_ + name in capitals. docs/operations.md lists them; a test compares."""

    model_config = SettingsConfigDict(env_prefix="NEURONYM_", extra="ignore")

    data: Path = Field(Path("data"), description="Folder of the label files; `current` in it is the one served.")
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
    memory_limit: ByteSize = Field(
        ByteSize(2_000_000_000), description="Memory DuckDB may use, in the app and while a file is built."
    )
