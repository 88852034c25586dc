"""What a run shows: log lines, TensorBoard and other loggers, figures, the model card."""
