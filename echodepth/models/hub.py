"""Model folders on the Hugging Face Hub: download by id, and upload.

A published model has the same files as the folder that training writes, so there is one format and one reader.
"""

import re
from pathlib import Path

from echodepth.core.errors import CheckpointError
from echodepth.core.run_paths import CHECKPOINTS

MODEL_FILES = ("config.json", "model.safetensors", "README.md")
_HUB_ID = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@(?P<revision>[\w./-]+))?")


def is_hub_id(name: str) -> bool:
    """Whether a name that is not a local path can be ``ORG/NAME`` or ``ORG/NAME@REVISION`` on the Hub."""
    found = _HUB_ID.fullmatch(name)
    # A path below an existing folder, or below the folder that training writes to, is meant as a path.
    folder = Path(name).parts[0] if found else None
    return folder is not None and folder != str(CHECKPOINTS) and not Path(folder).is_dir()


def fetch(name: str) -> Path:
    """The local folder of a model on the Hub, downloaded once into Hugging Face's own cache.

    Args:
        name: ``ORG/NAME``, or ``ORG/NAME@REVISION`` for a branch, tag or commit.

    Raises:
        CheckpointError: the Hub has no such model, it is not a model of echodepth, or the Hub cannot be reached.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    found = _HUB_ID.fullmatch(name)
    if found is None:
        raise CheckpointError(f"{name} is not an id on the Hugging Face Hub: give ORG/NAME, or ORG/NAME@REVISION")
    try:
        folder = Path(snapshot_download(found["repo"], revision=found["revision"], allow_patterns=[*MODEL_FILES]))
    except RevisionNotFoundError as error:
        raise CheckpointError(
            f"{found['repo']} has no revision {found['revision']} on the Hugging Face Hub: omit it for the latest"
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise CheckpointError(
            f"no model {name} exists locally or on the Hugging Face Hub: check the spelling, give a model folder or "
            "the name of an experiment, or, if it is private, log in first (hf auth login)"
        ) from error
    except LocalEntryNotFoundError as error:
        raise CheckpointError(
            f"{name} is not in the cache and the Hugging Face Hub cannot be reached: connect to the internet once, or "
            "download the folder on another machine and give its path"
        ) from error
    except (HfHubHTTPError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(
            f"{name} cannot be fetched from the Hugging Face Hub ({reason}): try again, or give a model folder"
        ) from error
    if missing := [file for file in MODEL_FILES[:2] if not (folder / file).is_file()]:
        raise CheckpointError(f"{name} on the Hugging Face Hub is not a model of echodepth: it has no {missing[0]}")
    return folder


def publish(folder: Path, repo_id: str, private: bool, message: str) -> str:
    """Upload a model folder as one commit, and create the repository if it does not exist.

    Args:
        folder: as ``save_model`` writes it.
        repo_id: ``ORG/NAME``.
        private: visibility of a repository that is created.
        message: of the commit.

    Returns:
        The URL of the model's page.

    Raises:
        CheckpointError: no user is logged in, the user may not write to the repository, or the Hub cannot be reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError

    api = HfApi()
    try:
        url = api.create_repo(repo_id, private=private, exist_ok=True)
        api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message=message, allow_patterns=[*MODEL_FILES])
    except (HfHubHTTPError, HFValidationError, LocalTokenNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(
            f"{repo_id} cannot be published on the Hugging Face Hub ({reason}): log in with a token that has write "
            "access (hf auth login), and give your own name or organisation"
        ) from error
    return str(url)
