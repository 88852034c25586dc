"""The ids that are not text, the same in every vocabulary."""

PAD_ID = 0  # fills batches up, and is what the encoder sees of a masked token: nothing
END_ID = 1  # closes each document
SPECIAL_IDS = 2  # how many there are; all others can be the answer to a position of a text
