"""A trained model for other programs: SavedModel and ONNX."""
