"""Sums over programs whose answer is known by hand."""

import pytest
from programs import NESTED, cycles, line, program

from deepecg_jax.plan.chips import CHIPS
from deepecg_jax.plan.collectives import first_group
from deepecg_jax.plan.estimate import Estimate, estimate
from deepecg_jax.plan.hlo import read_program
from deepecg_jax.plan.timing import KERNEL_FACTOR

CHIP = CHIPS["v5e"]
SQUARE = [(0, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 1, 1, 0)]
RING = [(0, x, 0, 0) for x in range(4)]


def read(text: str, places=SQUARE) -> Estimate:
    return estimate(read_program(text), CHIP, places)


def total_cycles(found: Estimate) -> float:
    return found.compute_seconds * CHIP.clock


def test_loops_multiply_and_fusions_count_once() -> None:
    found = read(NESTED)
    assert total_cycles(found) == pytest.approx(1 + 12 * (100 + 3 * 10))
    (operation,) = found.operations  # one line of Python became all three fusions
    assert (operation.op, operation.source) == ("add", "someone/run.py:7")
    assert operation.times == 1 + 12 + 36 and found.unknown_loops == 0


def test_a_loop_of_unknown_length_counts_once_and_is_told() -> None:
    text = NESTED.replace("s32[]{:T(128)} constant(12)", "s32[]{:T(128)} parameter(1)")
    found = read(text)
    assert total_cycles(found) == pytest.approx(1 + 100 + 30) and found.unknown_loops == 1


def test_of_branches_the_longest_is_taken() -> None:
    branches = "".join(
        f"%{name} (x: f32[8]) -> f32[8] {{\n  ROOT %{name}.y = f32[8] add(%x), {cycles(n)}\n}}\n\n"
        for name, n in (("left", 7), ("right", 40))
    )
    entry = "  %c = f32[8] conditional(%i, %a), branch_computations={%left, %right}\n"
    assert total_cycles(read(program(entry, branches))) == pytest.approx(40)


def test_the_line_of_a_fusion_is_that_of_its_product() -> None:
    fused = f"""%f (x: f32[8]) -> f32[8] {{
  %d = f32[8] convolution(%x, %x), {line(2, "transpose(jvp())/dot_general")}
  ROOT %y = f32[8] add(%d, %x), {line(1, "add")}
}}

"""
    from_line = line(1, "add")
    entry = f"  %a = f32[8] fusion(%p), kind=kOutput, calls=%f, {from_line}, {cycles(9)}\n"
    (operation,) = read(program(entry, fused)).operations
    assert operation.op == "dot_general, backward"
    assert operation.source == "deepecg_jax/models/blocks/attention.py:64"


def kernel(stated: str) -> str:
    config = f'backend_config={{"custom_call_config":{{"body":"TUzv("{stated}}}}}'
    call = 'custom-call(%p), custom_call_target="tpu_custom_call"'
    return program(f"  %p = f32[1000] parameter(0)\n  %k = f32[1000] {call}, {config}\n")


@pytest.mark.parametrize(
    ("stated", "bound"),
    [
        ("", 8000 / CHIP.hbm_bandwidth),  # in and out
        (',"cost_estimate":{"flops":"197000","bytes_accessed":"819"}', 1e-9),
        (',"cost_estimate":{"flops":"0","bytes_accessed":"819000"}', 1e-6),
    ],
)
def test_a_kernel_is_not_free(stated: str, bound: float) -> None:
    (operation,) = read(kernel(stated)).operations
    assert operation.by == "kernel"
    assert operation.seconds == pytest.approx(KERNEL_FACTOR * bound)


def test_what_has_no_estimate_is_told_with_its_bytes() -> None:
    text = program(
        f"""  %p = f32[1000] parameter(0)
  %r = f32[10,100] reshape(%p)
  %cs = (f32[10,100], f32[10,100], u32[]) copy-start(%r)
  %cd = f32[10,100] copy-done(%cs)
  %g = f32[8] fusion(%p), kind=kCustom, calls=%f, {cycles(2**63 - 1)}
  %v = f32[5] custom-call(), custom_call_target="AllocateBuffer"
"""
    )
    found = read(text)
    assert found.unestimated == [
        ("reshape", 1, 4000, False),
        ("copy", 1, 4000, True),
        ("fusion", 1, 32, False),
    ]
    assert found.seconds == 0
    assert found.unestimated_seconds(CHIP) == pytest.approx(2 * 4032 / CHIP.hbm_bandwidth)


# ---- transfers ------------------------------------------------------------------------------


def all_reduce(groups: str) -> str:
    return program(f"  %r = f32[1000] all-reduce(%p), channel_id=1, {groups}, to_apply=%add\n")


def test_a_synchronous_transfer_is_waited_for() -> None:
    found = read(all_reduce("replica_groups={{0,1,2,3}}"))
    (sent,) = found.sent
    # 2 x 3/4 of 4,000 bytes over one link along x and one along y
    assert sent.transfer.seconds == pytest.approx(6000 / (2 * CHIP.link_bandwidth))
    assert found.exposed_seconds == found.seconds == sent.transfer.seconds
    assert not sent.asynchronous and sent.transfer.bytes == 4000


@pytest.mark.parametrize(("places", "links"), [(SQUARE, 1), (RING, 1)])
def test_a_group_uses_the_links_along_which_it_extends(places, links: int) -> None:
    (sent,) = read(all_reduce("replica_groups={{0,1},{2,3}}"), places).sent
    assert sent.transfer.seconds == pytest.approx(4000 / (links * CHIP.link_bandwidth))
    (whole,) = read(all_reduce("replica_groups={}"), RING).sent
    assert whole.transfer.seconds == pytest.approx(6000 / (2 * CHIP.link_bandwidth))


def test_between_slices_is_the_network() -> None:
    places = [(0, 0, 0, 0), (0, 1, 0, 0), (1, 0, 0, 0), (1, 1, 0, 0)]
    (sent,) = read(all_reduce("replica_groups={{0,2},{1,3}}"), places).sent
    assert sent.transfer.between_slices
    assert sent.transfer.seconds == pytest.approx(4000 / CHIP.network_bandwidth)


def test_a_reduce_scatter_counts_what_goes_in() -> None:
    text = all_reduce("replica_groups={{0,1,2,3}}").replace("all-reduce(", "reduce-scatter(")
    (sent,) = read(text).sent
    assert (sent.kind, sent.transfer.bytes) == ("reduce-scatter", 16000)
    assert sent.transfer.seconds == pytest.approx(12000 / (2 * CHIP.link_bandwidth))


def test_a_sum_that_is_cut_is_a_reduce_scatter() -> None:
    """XLA:TPU writes one as an all-reduce and a slice in one fusion."""
    scatter = """%all-reduce-scatter (x: f32[16000]) -> f32[4000] {
  %x = f32[16000] parameter(0)
  %r = f32[16000] all-reduce(%x), channel_id=9, replica_groups={{0,1,2,3}}, to_apply=%add
  ROOT %s = f32[4000] dynamic-slice(%r, %i), dynamic_slice_sizes={4000}
}

"""
    entry = "  %f = f32[4000] fusion(%p), kind=kCustom, calls=%all-reduce-scatter\n"
    found = read(program(entry, scatter))
    (sent,) = found.sent
    assert (sent.kind, sent.transfer.bytes, sent.asynchronous) == ("reduce-scatter", 64000, False)
    assert found.exposed_seconds == pytest.approx(48000 / (2 * CHIP.link_bandwidth))


def permute(between: str, after: str = "") -> str:
    # 50,000 bytes over one link of 50 GB/s: a microsecond, 1,500 cycles
    shape, to = "(f32[12500], f32[12500], u32[], u32[])", "source_target_pairs={{0,1}}"
    return program(
        f"""  %s = {shape} collective-permute-start(%p), channel_id=4, {to}
{between}  %d = f32[12500] collective-permute-done(%s)
{after}"""
    )


@pytest.mark.parametrize(("count", "exposed"), [(0, 1e-6), (600, 0.6e-6), (1500, 0), (9000, 0)])
def test_what_is_scheduled_meanwhile_hides_a_transfer(count: int, exposed: float) -> None:
    between = f"  %a = f32[8] fusion(%p), kind=kLoop, calls=%f, {cycles(count)}\n" * bool(count)
    found = read(permute(between))
    (sent,) = found.sent
    assert sent.exposed == pytest.approx(exposed, abs=1e-12)
    assert sent.asynchronous == bool(count) and sent.transfer.bytes == 50000
    assert found.seconds == pytest.approx(count / CHIP.clock + exposed)


def test_what_comes_after_hides_nothing() -> None:
    after = f"  %a = f32[8] fusion(%p), kind=kLoop, calls=%f, {cycles(9000)}\n"
    assert read(permute("", after)).exposed_seconds == pytest.approx(1e-6)


def test_a_second_of_computing_hides_one_transfer_only() -> None:
    second = permute("").replace("%s", "%s2").replace("%d ", "%d2 ").replace("id=4", "id=5")
    start, done = (line for line in second.splitlines() if "collective-permute-" in line)
    work = f"  %a = f32[8] fusion(%p), kind=kLoop, calls=%f, {cycles(2000)}\n"
    found = read(permute(f"{start}\n{work}", f"{done}\n"))
    assert len(found.sent) == 2
    assert found.exposed_seconds == pytest.approx(1e-6 - 500 / CHIP.clock)


def test_a_transfer_in_pieces_inside_fusions_counts_once() -> None:
    piece = """%f{n} (x: f32[8]) -> f32[8] {{
  %g{n} = f32[12500] all-gather(%x), channel_id=35, replica_groups={{{{0,1}}}}, dimensions={{0}}
  ROOT %y{n} = f32[8] add(%x, %x)
}}

"""
    entry = "".join(
        f"  %a{n} = f32[8] fusion(%p), kind=kCustom, calls=%f{n}, {cycles(300)}\n" for n in (1, 2)
    )
    found = read(program(entry, piece.format(n=1) + piece.format(n=2)))
    (sent,) = found.sent
    # half of 50,000 bytes over one link: 750 cycles, of which two fusions hide 600
    assert sent.asynchronous and sent.times == 1
    assert sent.exposed == pytest.approx(150 / CHIP.clock)


@pytest.mark.parametrize(
    ("groups", "first"),
    [
        ("replica_groups={{0,3},{1,2}}", [0, 3]),
        ("replica_groups=[2,4]<=[8]", [0, 1, 2, 3]),
        ("replica_groups=[4,2]<=[2,4]T(1,0)", [0, 4]),
        ("replica_groups=mesh['data'=4,'fsdp'=2,'tensor'=1] {'data'}", [0, 2, 4, 6]),
        ("replica_groups=mesh['data'=4,'fsdp'=2,'tensor'=1] {'fsdp'}", [0, 1]),
        ("replica_groups=mesh['data'=4,'fsdp'=2] {'data','fsdp'}", list(range(8))),
        ("replica_groups={}", list(range(8))),
    ],
)
def test_groups_in_every_spelling(groups: str, first: list[int]) -> None:
    text = all_reduce(groups)
    (instruction,) = read_program(text).computations["main"]
    assert first_group(instruction, 8) == first
