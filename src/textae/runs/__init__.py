"""The folder of a run and where the run came from."""
