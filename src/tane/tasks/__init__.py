"""Labelled tasks: what is learnt from examples with an answer. One file each, chosen by `task.kind`.

A task is a frozen settings class (tasks/settings.py: `TaskSettings`) with these members; `tane finetune`,
`tane predict` and the loop know nothing else of it:

    kind                        its name in a recipe; the file is called so, with _ for -
    auto_model                  name of the transformers class that has the right head
    measures                    the names of its scores, the one that decides on the best checkpoint first
    columns()                   setting -> columns that a labelled file must have
    read(table, names)          rows of a file to `Examples`: texts, answers, what was left out and why
    encode(...)                 texts to ids, by the model's own tokenizer
    batch(rows, pad_id)         encoded examples to a Batch
    head(names)                 how many outputs the head has, and how transformers is told what they mean
    loss(logits, labels, ...)   summed over the targets
    answers(outputs, names)     what a person is told: {label, scores}
    judge(gold, outputs, ...)   scores, constant baseline, intervals, confusion, wrong examples
"""

NOT_PARTS = ("settings", "examples", "classes", "scores", "tags")
