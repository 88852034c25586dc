"""One-dimensional convolutional autoencoders for text."""
