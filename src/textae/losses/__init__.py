"""What training minimises, and the prediction of token ids."""
