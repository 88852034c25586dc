"""The ids that every tokenizer has in the same place."""

PAD_ID = 0  # fills a row after its last token; no text has it
END_ID = 1  # ends a document
SPECIAL_IDS = 2  # how many ids stand for no text; those of text follow them
