"""What a run shows: TensorBoard, figures, the model card."""
