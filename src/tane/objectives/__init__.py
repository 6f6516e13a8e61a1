"""Objectives: what a model is asked to predict. One file each, chosen by `objective.name`.

An objective is a frozen settings class with the block size and these members; the loop knows nothing else of
it:

    auto_model                       name of the transformers class that has the right head
    default_preset                   the model where a recipe names none
    specials                         the special tokens of a tokenizer that is trained for it
    scores_all_text                  whether every token is a target, so that bits per character have a sense
    packs_segments                   whether batches carry `segments`, which attention must keep apart
    word_starts                      whose words the prepared data must know, or None
    least_tokens                     tokens of text without which there is nothing to train on
    blocks(tokens, vocabulary)       how a token stream, or a mix of inputs by weight, becomes examples: an
                                     object with `sizes` and `at(epoch)[i] -> Block` (tokens/blocks.py)
    draws                            whether a batch depends on the keys; where not, `rows_batch(rows)` makes
                                     one of whole blocks (B, length) that were read at once (`Blocks.rows`)
    batch(blocks, keys, vocabulary) -> Batch
                                     examples to tensors and targets; `keys` are one random key a row, derived
                                     from (seed, epoch, block id), or from the block id alone in evaluation
"""

NOT_PARTS = ()
