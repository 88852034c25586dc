"""Errors of other libraries in messages of one line."""


def one_line(error: Exception, longest: int | None = None) -> str:
    """Return an error's message, or its type where it has none, as one line of at most `longest` characters."""
    line = " ".join(str(error).split()) or type(error).__name__
    return line if longest is None or len(line) <= longest else line[:longest] + "..."
