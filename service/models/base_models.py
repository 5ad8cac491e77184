"""Base models: which may be named, which a language gets, and where their files are on this machine."""

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError

from service.errors import BaseModelUnavailable, DiskFull, Unacceptable
from service.models.bundled import BUNDLED, BundledPackageMissing, bundled_checkpoint, is_installed
from service.models.checkpoints import max_length, read_config
from service.settings import Settings
from service.store.artifacts import is_full

# name → ids under which the hub knows it, today's first
HUB_IDS = {
    "roberta-base": ("FacebookAI/roberta-base", "roberta-base"),
    "benjamin/roberta-base-wechsel-german": ("benjamin/roberta-base-wechsel-german",),
    "camembert-base": ("almanach/camembert-base", "camembert-base"),
    "xlm-roberta-base": ("FacebookAI/xlm-roberta-base", "xlm-roberta-base"),
}
_OF_LANGUAGE = {
    "english": "roberta-base",
    "german": "benjamin/roberta-base-wechsel-german",
    "french": "camembert-base",
}
_CODES = {
    "en": "english", "eng": "english", "de": "german", "deu": "german", "ger": "german",
    "fr": "french", "fra": "french", "fre": "french",
}  # fmt: skip
_OWN_NAMES = {"deutsch": "german", "français": "french", "francais": "french"}
_OF_ANY_OTHER = "xlm-roberta-base"

# Only weights that cannot carry code, and what describes them.
FILES = ("config.json", "*.safetensors", "*.safetensors.index.json", "tokenizer*", "vocab*", "merges.txt",
         "special_tokens_map.json", "added_tokens.json", "sentencepiece.bpe.model", "spiece.model")  # fmt: skip


@dataclass(frozen=True, slots=True)
class BaseCheckpoint:
    """Files of a base model. `max_length`: tokens it can read, special ones included."""

    name: str
    folder: Path
    model_type: str
    max_length: int


def for_language(language: str | None) -> str:
    """english, german and french (or deutsch, français; or en, eng, de, …, with a region or without, such as en-US or
    English (US)) have a model of their own; anything else is multilingual."""
    name = unicodedata.normalize("NFC", (language or "").partition("(")[0].strip()).casefold()
    code = re.split("[-_]", name)[0]  # of names the whole counts: french-creole is not French
    return _OF_LANGUAGE.get(_CODES.get(code) or _OWN_NAMES.get(name, name), _OF_ANY_OTHER)


def language_map() -> dict[str, str]:
    """language → base model; `any other` stands for the rest."""
    return {**_OF_LANGUAGE, "any other": _OF_ANY_OTHER}


def allowed(settings: Settings) -> list[str]:
    """The names that a job may ask for."""
    return sorted({*HUB_IDS, *BUNDLED, *settings.extra_base_models})


def allowed_name(name: str, settings: Settings) -> str:
    """Under which name a job may ask for it; the hub's ids of a model stand for ours.

    Raises: Unacceptable that lists what may be asked for.
    """
    names = allowed(settings)
    if name not in names:
        name = next((own for own, ids in HUB_IDS.items() if name in ids), name)
    if name not in names:
        raise Unacceptable(
            f"base_model must be one of {', '.join(names)}; an operator adds others with EXTRA_BASE_MODELS",
            code="base_model_unknown",
        )
    return name


def locate(name: str, settings: Settings) -> BaseCheckpoint:
    """The files of a base model: from BASE_MODELS_DIR, else the hub's cache, else a bundled package.

    Never loads from the network. Raises: BaseModelUnavailable that names what can be had here; DiskFull.
    """
    name = allowed_name(name, settings)
    for find in (_in_folder, _bundled, _converted, _in_hub_cache):
        if folder := find(name, settings):
            return describe_checkpoint(name, folder)
    others = [other for other in available(settings) if other != name]
    can = f"base models that can be had here: {', '.join(others)}" if others else "no base model can be had here"
    raise BaseModelUnavailable(
        f"the base model {name} is not on this machine; {can}. An operator adds it with "
        f"`classiglot fetch {name}` or as the folder BASE_MODELS_DIR/{name}"
    )


def available(settings: Settings) -> list[str]:
    """The allowed names whose files are on this machine (bundled: whose package is installed)."""
    return [name for name in allowed(settings) if _is_here(name, settings)]


def _is_here(name: str, settings: Settings) -> bool:
    if name in BUNDLED:
        return is_installed(name)
    return any(find(name, settings) for find in (_in_folder, _converted, _in_hub_cache))


def _in_folder(name: str, settings: Settings) -> Path | None:
    if settings.base_models_dir is None:
        return None
    root = settings.base_models_dir.resolve()
    folder = (root / name).resolve()
    return folder if folder.is_relative_to(root) and (folder / "config.json").is_file() else None


def _bundled(name: str, settings: Settings) -> Path | None:
    if name not in BUNDLED:
        return None
    try:
        return bundled_checkpoint(name, settings.cache_dir / "base-models")
    except BundledPackageMissing as error:
        raise BaseModelUnavailable(str(error)) from None
    except (OSError, ValueError) as error:
        if is_full(error):
            message = f"there is no room left in {settings.cache_dir} to unpack {name}; free some, then try again"
            raise DiskFull(message, retry_after=60) from error
        raise BaseModelUnavailable(
            f"the base model {name} cannot be unpacked: {error}; see to that, or install its package anew"
        ) from error


def converted_folder(name: str, settings: Settings) -> Path:
    """Where `classiglot fetch` puts a checkpoint that it had to convert."""
    return settings.cache_dir / "base-models" / name.replace("/", "--")


def _converted(name: str, settings: Settings) -> Path | None:
    folder = converted_folder(name, settings)
    return folder if folder.is_dir() else None


def _in_hub_cache(name: str, _settings: Settings) -> Path | None:
    for repo_id in HUB_IDS.get(name, (name,)):
        try:
            return Path(snapshot_download(repo_id, local_files_only=True, allow_patterns=list(FILES)))
        except (LocalEntryNotFoundError, ValueError):  # ValueError: not a hub id, so it cannot be in the cache
            continue
    return None


def describe_checkpoint(name: str, folder: Path) -> BaseCheckpoint:
    """Checks what is in a folder before anything is loaded from it. Raises: BaseModelUnavailable."""
    try:
        config = read_config(folder)
    except ValueError as error:
        raise BaseModelUnavailable(f"the checkpoint of {name} {error}") from None
    return BaseCheckpoint(name, folder, config["model_type"], max_length(config))
