"""BlockDataset unchanged in a plain loop, HF's Trainer, Lightning and accelerate, and the loss."""

from __future__ import annotations

import multiprocessing
import warnings
from collections import Counter

import pytest
import torch
from torch.utils.data import DataLoader

from tane.tokens.stream import BlockDataset

VOCAB = 64
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Characters:
    """A toy tokenizer: ids below VOCAB."""

    def encode(self, text: str) -> list[int]:
        """Code points modulo VOCAB."""
        return [ord(char) % VOCAB for char in text]


TEXTS = ["春の川は静かに流れる。", "山に雪が降り、里に花が咲く。", "猫は縁側で眠っている。"] * 8


def make(labels: str = "next", block_size: int = 8, **options) -> BlockDataset:
    return BlockDataset.from_texts(Characters(), TEXTS, block_size, labels=labels, **options)


def tiny_gpt2(seed: int = 0):
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=VOCAB, n_positions=16, n_embd=16, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, initializer_range=0.3,
    )  # fmt: skip
    return GPT2LMHeadModel(config)


def test_loss_is_that_of_the_next_token_with_either_kind_of_labels():
    model = tiny_gpt2().eval()
    ids = [i for text in TEXTS for i in Characters().encode(text)]
    # labels="next": the loop compares logits and labels itself
    batch = next(iter(DataLoader(make(), batch_size=3, collate_fn=BlockDataset.collate)))
    logits = model(input_ids=batch["input_ids"]).logits  # (3, 8, V)
    loss = torch.nn.CrossEntropyLoss()(logits.view(-1, VOCAB), batch["labels"].view(-1))
    by_hand = []
    for start in (0, 8, 16):
        row = model(input_ids=torch.tensor([ids[start : start + 8]])).logits[0].log_softmax(-1)
        by_hand += [-row[t, ids[start + t + 1]] for t in range(8)]
    assert loss.item() == pytest.approx(torch.stack(by_hand).mean().item(), abs=1e-6)
    # labels="same": the model shifts; the last position of a block has no target there
    batch = next(iter(DataLoader(make("same"), batch_size=3, collate_fn=BlockDataset.collate)))
    inside = torch.stack([value for i, value in enumerate(by_hand) if i % 8 != 7]).mean()
    assert model(**batch).loss.item() == pytest.approx(inside.item(), abs=1e-6)
    # so T+1 ids of the one kind hold the targets of T ids of the other
    longer = BlockDataset.collate([make("same", block_size=9).first()])
    first = torch.stack(by_hand[:8]).mean()
    assert model(**longer).loss.item() == pytest.approx(first.item(), abs=1e-6)


@pytest.mark.parametrize("labels", ["next", "same"])
def test_filling_up_changes_no_loss(labels):
    """Collating the shorter last dict with a full one gives the sum of the losses that they have alone."""
    model = tiny_gpt2().eval()
    items = list(make(labels, 11, drop_last=False))[-2:]
    assert len(items[1]["labels"]) < len(items[0]["labels"])

    def total(batch):
        logits, targets = model(input_ids=batch["input_ids"]).logits, batch["labels"]
        if labels == "same":
            logits, targets = logits[:, :-1], targets[:, 1:]
        return torch.nn.functional.cross_entropy(
            logits.reshape(-1, VOCAB), targets.reshape(-1), reduction="sum"
        )

    alone = sum(total(BlockDataset.collate([item])).item() for item in items)
    assert total(BlockDataset.collate(items)).item() == pytest.approx(alone, abs=1e-4)


def test_plain_loop():
    model, dataset = tiny_gpt2(), make(shuffle_buffer=10, drop_last=False)
    loader = DataLoader(
        dataset, batch_size=4, collate_fn=BlockDataset.collate, num_workers=1, prefetch_factor=2
    )
    optimizer, loss_fn = torch.optim.Adam(model.parameters(), lr=1e-2), torch.nn.CrossEntropyLoss()
    means = []
    for _ in range(3):
        losses = []
        for item in loader:
            logits = model(input_ids=item["input_ids"]).logits
            loss = loss_fn(input=logits.view(-1, logits.shape[-1]), target=item["labels"].view(-1))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        means.append(sum(losses) / len(losses))
    assert means[2] < means[1] < means[0]


class Recorder(BlockDataset):
    """Keeps what it was asked for."""

    def __iter__(self):
        self.given = getattr(self, "given", [])
        for item in super().__iter__():
            self.given.append(tuple(item["input_ids"]))
            yield item


@pytest.mark.parametrize("collator", [BlockDataset.collate, None])
def test_hf_trainer(tmp_path, collator):
    from transformers import Trainer, TrainingArguments

    model, dataset = tiny_gpt2(), Recorder(Characters(), TEXTS, 8, labels="same", shuffle_buffer=5)
    arguments = TrainingArguments(
        output_dir=str(tmp_path), max_steps=16, per_device_train_batch_size=4, learning_rate=1e-2,
        use_cpu=True, logging_steps=4, save_strategy="no", report_to="none", disable_tqdm=True,
        dataloader_pin_memory=False,
    )  # fmt: skip
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=dataset,
        eval_dataset=make("same", drop_last=collator is None),
        data_collator=collator,
    )
    before = trainer.evaluate()["eval_loss"]
    trainer.train()
    assert trainer.state.global_step == 16
    assert trainer.evaluate()["eval_loss"] < before
    expected = make("same", shuffle_buffer=5)
    order = [tuple(item["input_ids"]) for _ in range(2) for item in expected]  # 36 blocks an epoch, 9 batches
    assert dataset.given[:64] == order[:64]


def test_lightning():
    with warnings.catch_warnings(action="ignore"):
        import lightning.pytorch as pl

        seen = []

        class Module(pl.LightningModule):
            def __init__(self):
                super().__init__()
                self.model = tiny_gpt2()

            def training_step(self, batch, index):
                seen.append((self.current_epoch, batch["input_ids"].tolist()))
                logits = self.model(input_ids=batch["input_ids"]).logits
                return torch.nn.functional.cross_entropy(logits.view(-1, VOCAB), batch["labels"].view(-1))

            def configure_optimizers(self):
                return torch.optim.Adam(self.parameters(), lr=1e-2)

        trainer = pl.Trainer(
            max_epochs=2, accelerator="cpu", devices=1, logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, barebones=False,
        )  # fmt: skip
        dataset = make(shuffle_buffer=5)
        trainer.fit(Module(), DataLoader(dataset, batch_size=4, collate_fn=BlockDataset.collate))
    expected = make(shuffle_buffer=5)
    for epoch in range(2):
        order = [item["input_ids"] for item in expected]
        assert [row for e, rows in seen if e == epoch for row in rows] == order


def _accelerated(rank, port, dispatch, queue):
    """One of two processes that accelerate runs: what a prepared loader gives it in two epochs."""
    import os

    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "ACCELERATE_USE_CPU": "1",
                   "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}  # fmt: skip
    with warnings.catch_warnings(action="ignore"):
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState, GradientState
        from accelerate.utils import DataLoaderConfiguration

        AcceleratorState._reset_state(reset_partial_state=True)  # what the parent process had
        GradientState._reset_state()
        accelerator = Accelerator(
            cpu=True, dataloader_config=DataLoaderConfiguration(dispatch_batches=dispatch)
        )
        dataset = make(shuffle_buffer=5)
        loader = DataLoader(dataset, batch_size=3, collate_fn=BlockDataset.collate, num_workers=1)
        prepared = accelerator.prepare(loader)
        found = [[tuple(row) for batch in prepared for row in batch["input_ids"].tolist()] for _ in range(2)]
        own = [
            tuple(item["input_ids"]) for item in dataset
        ]  # outside of accelerate's loader: this rank's share
    queue.put((rank, found, own))
    accelerator.end_training()


@pytest.mark.parametrize("dispatch", [True, False])
def test_accelerate_deals_out_all_blocks(dispatch):
    """As in HF's Trainer on several ranks: rank 0 reads for all, or each reads all and takes its batches."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    ranks = [context.Process(target=_accelerated, args=(r, port, dispatch, queue)) for r in range(2)]
    for process in ranks:
        process.start()
    found = {rank: (epochs, own) for rank, epochs, own in (queue.get(timeout=60) for _ in ranks)}
    for process in ranks:
        process.join(30)
    expected = Counter(tuple(item["input_ids"]) for item in make())
    for epoch in range(2):
        together = Counter(found[0][0][epoch] + found[1][0][epoch])
        assert not expected - together  # nothing is lost
        assert sum((together - expected).values()) < 6  # accelerate itself fills the last batches up
    assert Counter(found[0][1] + found[1][1]) == expected
