"""The text stage: files become documents, documents become a corpus; every character is accounted for."""
