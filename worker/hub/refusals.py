"""What a hub refuses or cannot do, each as one sentence that names the mend, and no token in any."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
from huggingface_hub import errors as hub
from huggingface_hub import get_token
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # loaded when asked for

from worker.errors import LabelFileError

LOST = "The connection to the hub was lost. Check the network, and run the same command again."
LOG_IN = "Log in with `hf auth login`, or set HF_TOKEN."
NOT_UNDERSTOOD = "The hub's answer is not understood. Check HF_ENDPOINT, or install newer versions of lock.txt."


@contextmanager
def hub_refusals(repository: str, revision: str | None = None, writing: bool = False) -> Iterator[None]:
    """Turn the hub's errors inside the block into sentences about `repository`, which is read or written to.

    Raises:
        LabelFileError: the hub refuses, or cannot be reached.
    """
    try:
        yield
    except hub.GatedRepoError as error:
        raise LabelFileError(f"{repository} is gated: ask for access on its hub page, then log in.") from error
    except hub.RevisionNotFoundError as error:
        raise LabelFileError(f"{repository} has no revision {revision!r}. Check --revision.") from error
    except hub.RepositoryNotFoundError as error:
        raise LabelFileError(
            f"The hub has no dataset {repository}, or it is private. Check the name, or log in with `hf auth login`."
        ) from error
    except (hub.LocalTokenNotFoundError, hub.OIDCError, hub.DeviceCodeError) as error:
        raise _not_logged_in() from error
    except hub.OfflineModeIsEnabled as error:
        raise LabelFileError("HF_HUB_OFFLINE keeps this machine off the hub. Unset it.") from error
    except hub.HfHubHTTPError as error:
        raise LabelFileError(_refusal(repository, error, writing)) from error
    except httpx2.TransportError as error:
        raise LabelFileError(LOST) from error
    except RuntimeError as error:  # of an upload, around what happened
        if isinstance(error, LabelFileError) or not isinstance(error.__cause__, Exception):
            raise
        with hub_refusals(repository, revision, writing):
            raise error.__cause__ from None
    except (ValueError, KeyError, TypeError, AttributeError, httpx2.HTTPError) as error:
        raise LabelFileError(NOT_UNDERSTOOD) from error


def keep_warnings_back() -> None:
    """Keep huggingface_hub from writing warnings, which name addresses: what ends a command is said in a sentence."""
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)


def check_login() -> None:
    """Check that there is a token, before any work.

    Raises:
        LabelFileError: there is none.
    """
    with hub_refusals("your login"):
        if get_token() is None:
            raise _not_logged_in()


def check_repository(repository: str) -> None:
    """Check that a text can name a repository of somebody.

    Raises:
        LabelFileError: it cannot.
    """
    try:
        validate_repo_id(repository)
        owned = repository.count("/") == 1
    except hub.HFValidationError:
        owned = False
    if not owned:
        raise LabelFileError(f"{repository[:60]!r} is no repository of a hub. Give OWNER/REPOSITORY.")


def _not_logged_in() -> LabelFileError:
    return LabelFileError(f"You are not logged in to the hub. {LOG_IN}")


def _refusal(repository: str, error: hub.HfHubHTTPError, writing: bool) -> str:
    """What the hub says by its status code."""
    status = error.response.status_code
    said = " ".join((error.server_message or "").split())[:200].rstrip(".")
    reason = f" ({said})" if said and said.isprintable() else ""
    if status == 401:
        return f"The hub does not know your token. {LOG_IN}"
    if status == 403 and writing:
        return f"You may not write to {repository}{reason}. Use a token that may write, or give another --to."
    if status == 403:
        return f"You may not read {repository}{reason}. Use a token that may."
    if status in (409, 412):
        return f"{repository} was changed meanwhile{reason}. Run the same command again."
    if status == 429 or status >= 500:
        return f"The hub has no time for this now (status {status}). Run the same command later."
    return f"The hub refuses this with status {status}{reason}. Check the name and your rights."
