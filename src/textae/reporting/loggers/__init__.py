"""Where the values of a run are recorded: TensorBoard, MLflow, Weights & Biases, behind one interface."""
