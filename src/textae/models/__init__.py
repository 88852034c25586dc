"""The autoencoder, its initialization and the shapes of its weights."""
