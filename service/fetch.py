"""`classiglot fetch`: what an operator runs where there is internet, so that jobs never need it."""

import os
import pickle
import shutil
import uuid
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from service.errors import BaseModelUnavailable
from service.models.base_models import FILES, HUB_IDS, allowed_name, converted_folder, locate
from service.settings import Settings

PICKLED = "pytorch_model.bin"


def fetch(name: str, settings: Settings) -> Path:
    """Puts an allowed base model on this machine (the hub's cache, HF_HOME) and returns its folder.

    Weights that the hub has only in PyTorch's pickled form are converted once, by a reader that refuses code.
    Raises: Unacceptable for an unknown name; BaseModelUnavailable when it cannot be had.
    """
    name = allowed_name(name, settings)
    try:
        return locate(name, settings).folder
    except BaseModelUnavailable:
        folder = _download(name, [*FILES])
    if not any(folder.glob("*.safetensors")):
        folder = _download(name, [*FILES, PICKLED])
        _convert(folder, converted_folder(name, settings))
    return locate(name, settings).folder


def _download(name: str, files: list[str]) -> Path:
    repo_id = HUB_IDS.get(name, (name,))[0]
    try:
        return Path(snapshot_download(repo_id, allow_patterns=files))
    except HFValidationError:
        raise BaseModelUnavailable(
            f"{name} cannot be the name of a model on the hub; copy its checkpoint to BASE_MODELS_DIR/{name}"
        ) from None
    except (HfHubHTTPError, OSError) as error:
        raise BaseModelUnavailable(
            f"{repo_id} could not be downloaded ({type(error).__name__}); check the network, "
            f"or copy its checkpoint to BASE_MODELS_DIR/{name}"
        ) from error


def _convert(source: Path, target: Path) -> None:
    """Writes `source` to `target` with its weights as safetensors. Raises: BaseModelUnavailable."""
    if not (source / PICKLED).is_file():
        raise BaseModelUnavailable(f"{source.name} has neither safetensors nor {PICKLED}; choose another base model")
    from service.inference.architectures import read_pickled_weights, write_weights

    try:
        weights = read_pickled_weights(source / PICKLED)
    except (pickle.UnpicklingError, RuntimeError) as error:
        raise BaseModelUnavailable(f"{PICKLED} is not plain weights, so it is not read: {error}") from error
    partial = target.parent / f".{uuid.uuid4().hex}.partial"
    try:
        partial.mkdir(parents=True)
        for path in source.iterdir():
            if path.is_file() and path.name != PICKLED:
                shutil.copyfile(path, partial / path.name)
        write_weights(weights, partial / "model.safetensors")
        _put(partial, target)
    except OSError as error:
        raise BaseModelUnavailable(
            f"the weights could not be converted: {error}; see to that, then fetch it again"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _put(partial: Path, target: Path) -> None:
    try:
        os.rename(partial, target)
    except OSError:
        if not target.is_dir():  # else another fetch was first, with the same files
            raise
