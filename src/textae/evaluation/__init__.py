"""How good a model is: metrics, latent statistics, probes."""
