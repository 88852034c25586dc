"""textae in scikit-learn's pipelines and searches: `TextEncoder`."""

from textae.sklearn.text_encoder import TextEncoder

__all__ = ["TextEncoder"]
