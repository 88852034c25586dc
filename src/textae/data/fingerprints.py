"""Names of what is prepared, by what it is made from."""

import hashlib


def fingerprint(*parts: object) -> str:
    """Return a hex digest of the `repr` of what something is made from; the version of its format comes first."""
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()
