"""Objectives: what a model is asked to predict. One file each, chosen by `objective.name`.

An objective is a frozen settings class with the block size and these members; the loop knows nothing else of
it:

    auto_model                       name of the transformers class that has the right head
    specials                         the special tokens of a tokenizer that is trained for it
    blocks(tokens) -> Blocks | MixedBlocks
                                     how a token stream, or a mix of inputs by weight, becomes examples
    batch(blocks, keys, vocabulary) -> Batch
                                     examples to tensors and targets; `keys` are one random key a row, derived
                                     from (seed, epoch, block id), or from the block id alone in evaluation
"""

NOT_PARTS = ()
