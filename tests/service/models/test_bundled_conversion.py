"""Conversions of damaged files, on a full disk, killed in the middle, and two at once."""

import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE

import numpy as np
import pytest

from parts.bundled import REPOSITORY
from service.models.bundled import convert_once
from service.models.e5s1 import BLOCK, dequantise, read_e5s1


def subfolders(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.is_dir()]


# --- damaged files ----------------------------------------------------------------------------------------


def patched(data: bytes, position: int, layout: str, *values: float) -> bytes:
    new = struct.pack("<" + layout, *values)
    return data[:position] + new + data[position + len(new) :]


def directory_entry(data: bytes, name: bytes) -> int:
    """Where the dtype byte of the tensor's directory entry is."""
    return data.index(struct.pack("<H", len(name)) + name) + 2 + len(name)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: data[:0],
    "wrong magic": lambda data: b"GGUF" + data[4:1000],
    "other version": lambda data: patched(data[:1000], 4, "I", 2),
    "no heads": lambda data: patched(data[:1000], 16, "i", 0),
    "other block": lambda data: patched(data[:1000], 40, "i", 64),
    "cut in the header": lambda data: data[:20],
    "cut in the scores": lambda data: data[:1_500_000],
    "cut in the directory": lambda data: data[:4_638_000],
    "cut in the last tensor": lambda data: data[:-1],
    "countless pieces": lambda data: patched(data, 44, "i", 2**31 - 1),
    "countless layers": lambda data: patched(data, 12, "i", 2**31 - 1),
    "fewer layers": lambda data: patched(data, 12, "i", 11),
    "pieces out of order": lambda data: patched(data, 76, "I", 2**31),
    "text not UTF-8": lambda data: patched(data, data.index("▁de".encode()), "B", 0xFF),
    "tensor past the end": lambda data: patched(data, directory_entry(data, b"l3.fo.b") + 5, "Q", 2**40),
    "tensor of other size": lambda data: patched(data, directory_entry(data, b"l3.fo.b") + 13, "Q", 4),
    "tensor of other count": lambda data: patched(data, directory_entry(data, b"l3.fo.b") + 1, "I", 32),
    "tensor of unknown type": lambda data: patched(data, directory_entry(data, b"l3.fo.b"), "B", 9),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_file_is_refused(e5s1_file: Path, tmp_path: Path, damage: str) -> None:
    damaged = tmp_path / "damaged.bin"
    damaged.write_bytes(DAMAGES[damage](e5s1_file.read_bytes()))
    with pytest.raises(ValueError, match=r"damaged\.bin is not a usable E5S1 file"):
        read_e5s1(damaged)
    damaged.unlink()


def test_damaged_file_leaves_no_folder(e5s1_file: Path, tmp_path: Path) -> None:
    data = e5s1_file.read_bytes()
    (offset,) = struct.unpack_from("<Q", data, directory_entry(data, b"l0.q.w") + 5)
    damaged = tmp_path / "damaged.bin"
    damaged.write_bytes(patched(data, offset, "e", float("nan")))
    with pytest.raises(ValueError, match=r"l0\.q\.w holds values that are not finite"):
        convert_once(damaged, tmp_path / "cache" / "model")
    assert subfolders(tmp_path / "cache") == []
    damaged.unlink()


def test_full_disk_is_an_os_error_and_leaves_no_folder(tmp_path: Path) -> None:
    # A limit on the size of a file stands for the full disk: the kernel refuses the write likewise.
    program = (
        "import resource, sys; from pathlib import Path\n"
        "from service.models.bundled import MULTILINGUAL_SMALL, bundled_checkpoint\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))\n"
        "try: bundled_checkpoint(MULTILINGUAL_SMALL, Path(sys.argv[1]))\n"
        "except OSError as error: print(error)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=True)
    assert "cannot write" in done.stdout
    assert subfolders(tmp_path) == []


def test_dequantises_low_nibbles_first() -> None:
    half = BLOCK // 2
    nibbles = bytes(j | (15 - j) << 4 for j in range(half))
    blocks = np.frombuffer(struct.pack("<e", 0.5) + nibbles, [("scale", "<f2"), ("nibbles", "u1", half)])
    expected = [0.5 * (j - 8) for j in range(half)] + [0.5 * (7 - j) for j in range(half)]
    assert dequantise(blocks).tolist() == expected


# --- interrupted and simultaneous conversions -------------------------------------------------------------

CONVERT = (
    "import sys; from pathlib import Path\n"
    "from service.models.bundled import MULTILINGUAL_SMALL, bundled_checkpoint\n"
    "print('ready', flush=True); sys.stdin.readline()\n"
    "folder = bundled_checkpoint(MULTILINGUAL_SMALL, Path(sys.argv[1]))\n"
    "print(folder, (folder / 'model.safetensors').stat().st_ino)\n"
)


def start_conversions(cache_dir: Path, processes: int) -> list[subprocess.Popen[str]]:
    """Processes that have done their imports and begin to convert at the same time."""
    command = [sys.executable, "-c", CONVERT, str(cache_dir)]
    started = []
    for _ in range(processes):
        process = subprocess.Popen(command, cwd=REPOSITORY, stdin=PIPE, stdout=PIPE, text=True)
        started.append(process)
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return started


def kill_in_the_middle(cache_dir: Path) -> None:
    (process,) = start_conversions(cache_dir, 1)
    deadline = time.monotonic() + 60
    while not list(cache_dir.glob(".bundled-*.partial")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.communicate(timeout=60)


def test_one_folder_after_a_kill_and_two_conversions_at_once(multilingual: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    kill_in_the_middle(cache)
    assert subfolders(cache) == [f".bundled-{multilingual.name}.partial"]
    (cache / ".bundled-multilingual-small-0.1-0.partial").mkdir()  # as an older version would leave it

    processes = start_conversions(cache, 2)
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert outputs[0] == outputs[1]
    assert subfolders(cache) == [multilingual.name]
    for path in multilingual.iterdir():
        assert (cache / multilingual.name / path.name).read_bytes() == path.read_bytes(), path.name
    shutil.rmtree(cache)
