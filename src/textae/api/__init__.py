"""Training from Python: `textae.fit`, what it takes as texts, and what it shows."""
