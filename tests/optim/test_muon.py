"""Parameter groups, and Muon on the parts of fused matrices."""

import pytest
import torch

from tane.model.build import ModelSettings, build_model
from tane.optim.adamw import AdamW
from tane.optim.groups import parameter_groups
from tane.optim.muon import Muon, OrthogonalMomentum, all_orthogonal, fused_axis
from tane.types import Vocabulary


def model(config: dict | None = None) -> torch.nn.Module:
    config = config or {"n_layer": 2, "n_embd": 32, "n_head": 2}
    return build_model(ModelSettings(config=config), "AutoModelForCausalLM", 16, Vocabulary(100, 1, 0), 0)


def test_every_parameter_is_in_one_group_by_shape_and_place() -> None:
    network = model()
    groups = parameter_groups(network)
    names = [n for group in groups for n, _ in group]
    assert sorted(names) == sorted(n for n, _ in network.named_parameters())
    assert {n for n, _ in groups.embedding} == {"transformer.wte.weight", "transformer.wpe.weight"}
    assert all(p.ndim == 2 and ".h." in n for n, p in groups.hidden)
    assert all(p.ndim == 1 for _, p in groups.vector)


def test_an_untied_head_counts_as_embedding_and_frozen_parameters_as_nothing() -> None:
    config = {"model_type": "llama", "num_hidden_layers": 1, "hidden_size": 32, "num_attention_heads": 2,
              "num_key_value_heads": 2, "intermediate_size": 64, "tie_word_embeddings": False}  # fmt: skip
    network = model(config)
    assert "lm_head.weight" in {n for n, _ in parameter_groups(network).embedding}
    network.lm_head.weight.requires_grad_(False)
    assert "lm_head.weight" not in {n for group in parameter_groups(network) for n, _ in group}


@pytest.mark.parametrize(("shape", "axis"), [((8, 24), 1), ((24, 8), 0)])
def test_a_fused_matrix_is_updated_as_its_three_parts(shape: tuple[int, int], axis: int) -> None:
    generator = torch.Generator().manual_seed(0)
    whole = torch.nn.Parameter(torch.randn(shape, generator=generator))
    apart = [torch.nn.Parameter(piece.clone()) for piece in whole.detach().chunk(3, dim=axis)]
    settings = {"lr": 0.01, "weight_decay": 0.1, "momentum": 0.95}
    ours = OrthogonalMomentum([{"params": [whole]}], {whole: axis}, **settings)
    theirs = torch.optim.Muon(apart, adjust_lr_fn="match_rms_adamw", **settings)
    for _ in range(3):
        gradient = torch.randn(shape, generator=generator)
        whole.grad = gradient
        for piece, part in zip(apart, gradient.chunk(3, dim=axis), strict=True):
            piece.grad = part.clone()
        ours.step()
        theirs.step()
    torch.testing.assert_close(
        whole.detach(), torch.cat([p.detach() for p in apart], dim=axis), atol=1e-3, rtol=0
    )
    assert (whole - torch.cat([p.detach() for p in apart], dim=axis)).norm() < 0.01 * 3 * 0.01 * 8


def test_a_step_on_many_shapes_is_torchs_own_up_to_rounding() -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = [(8, 8), (8, 32), (32, 8), (16, 8), (8, 8)]
    start = [torch.randn(shape, generator=generator) for shape in shapes]
    ours, theirs = ([torch.nn.Parameter(x.clone()) for x in start] for _ in range(2))
    settings = {"lr": 0.02, "weight_decay": 0.1, "momentum": 0.9}
    one = OrthogonalMomentum([{"params": ours}], {}, **settings)
    other = torch.optim.Muon(theirs, adjust_lr_fn="match_rms_adamw", **settings)
    for _ in range(4):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn(a.shape, generator=generator)
            b.grad = a.grad.clone()
        one.step()
        other.step()
    for a, b, before in zip(ours, theirs, start, strict=True):
        assert (a - b).norm() < 0.02 * (b - before).norm()  # of bf16


def test_matrices_made_orthogonal_together_are_those_made_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    matrices = [torch.randn(shape, generator=generator) for shape in [(8, 16), (16, 8), (8, 16), (4, 4)]]
    together = all_orthogonal(matrices)
    monkeypatch.setattr("tane.optim.muon.AT_ONCE", 1)
    for one, matrix, alone in zip(together, matrices, all_orthogonal(matrices), strict=True):
        assert one.shape == matrix.shape
        torch.testing.assert_close(one, alone, atol=0.02, rtol=0)
        strengths = torch.linalg.svdvals(one.float())
        assert strengths.min() > 0.6 and strengths.max() < 1.3


def test_other_matrices_are_no_fused_ones() -> None:
    assert fused_axis("h.0.attn.c_proj.weight", torch.zeros(8, 24)) is None
    assert fused_axis("h.0.attn.c_attn.weight", torch.zeros(8, 20)) is None


@pytest.mark.parametrize("optim", [AdamW(lr=0.01), Muon(lr=0.01)])
def test_weight_decay_shrinks_matrices_and_leaves_vectors(optim: AdamW | Muon) -> None:
    network = model()
    before = {n: p.detach().clone() for n, p in network.named_parameters()}
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    for optimizer in optim.build(network):
        optimizer.step()
    for name, parameter in network.named_parameters():
        if parameter.ndim == 2:
            torch.testing.assert_close(parameter.detach(), before[name] * (1 - 0.01 * 0.1))
        else:
            assert torch.equal(parameter, before[name]), name


@pytest.mark.parametrize("optim", [AdamW(), Muon()])
def test_the_stated_size_of_the_state_is_what_is_kept(optim: AdamW | Muon) -> None:
    network = model()
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    kept = 0
    for optimizer in optim.build(network):
        optimizer.step()
        kept += sum(v.numel() for s in optimizer.state.values() for v in s.values() if v.ndim)
    assert optim.state_size(network) == kept


def test_with_everything_else_frozen_one_optimizer_is_enough() -> None:
    network = model()
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name == "transformer.wte.weight")
    assert [type(o).__name__ for o in Muon().build(network)] == ["AdamW"]
