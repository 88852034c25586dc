"""Settings: the schema and its checks, mappings, registration with Hydra."""
