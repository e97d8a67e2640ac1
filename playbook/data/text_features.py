"""Texts as counts of words and character sequences, for linear models that know no pretrained base.

Words are 1- and 2-grams. Characters are sequences of 2 to 5 within words (`char_wb` of scikit-learn), which see through
endings and misspellings (character n-grams for text: Cavnar and Trenkle, SDAIR 1994). Both are sublinear TF-IDF, set
side by side, each of length one.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

FeatureKind = Literal["words", "words and characters"]
MANY_ROWS = 1000  # from here on a term must occur in two texts


def text_features(texts: list[str], kind: FeatureKind) -> tuple[Any, Any]:
    """Fitted vectoriser and the table of the given texts, shape (texts, terms), sparse.

    Texts without words of two letters (no spaces, or symbols only) are read as character 1- to 3-grams.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import FeatureUnion

    rare = 2 if len(texts) >= MANY_ROWS else 1
    options = {"sublinear_tf": True, "min_df": rare, "dtype": np.float32}
    words = TfidfVectorizer(ngram_range=(1, 2), **options)
    sequences = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), **options)
    features = words if kind == "words" else FeatureUnion([("words", words), ("characters", sequences)])
    try:
        return features, features.fit_transform(texts)
    except ValueError:  # no vocabulary
        characters = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True, dtype=np.float32)
        return characters, characters.fit_transform(texts)
