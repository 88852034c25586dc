"""A trained model in use: from texts to latents and back."""
