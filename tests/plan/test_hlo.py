"""Reading programs: shapes, loops, lines."""

import pytest
from programs import NESTED, TABLES, condition, cycles, program

from deepecg_jax.plan.hlo import read_program, size_of


def one(line: str):
    return read_program(program(f"  {line}\n")).computations["main"][0]


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ("f32[8,3]{1,0:T(8,128)}", 96),
        ("bf16[2,5]{1,0:T(8,128)(2,1)S(1)}", 20),
        ("pred[]", 1),
        ("(s32[]{:T(128)}, /*index=1*/u16[7]{0}, token[])", 4 + 14),
        ("s4[10]", 5),
        ("f8e4m3fn[6]", 6),
        ("c64[2]", 16),
        ("token[]", 0),
    ],
)
def test_bytes_of_a_shape(shape: str, size: int) -> None:
    assert size_of(shape) == size


def test_an_instruction_in_parts() -> None:
    found = one(
        "ROOT %dot.3 = (f32[4]{0:T(128)}, bf16[4,2]{1,0:T(8,128)(2,1)}) fusion(%a.1, %b), "
        "kind=kOutput, calls=%fused.7, channel_id=12, "
        'metadata={op_name="jit(step)/jvp()/dot_general" stack_frame_id=2}, ' + cycles(345)
    )
    assert (found.name, found.opcode, found.root) == ("dot.3", "fusion", True)
    assert found.operands == ("a.1", "b") and found.calls("calls") == ["fused.7"]
    assert (found.cycles, found.bytes, found.channel, found.frame) == (345, 32, "12", 2)
    assert found.op_name == "jit(step)/jvp()/dot_general" and found.target is None


def test_the_greatest_number_is_no_estimate() -> None:
    assert one(f"%g = f32[8] fusion(%a), calls=%f, {cycles(2**63 - 1)}").cycles is None
    assert one("%g = f32[8] copy(%a)").cycles is None


def test_branches() -> None:
    found = one("%c = f32[8] conditional(%i, %a, %b), branch_computations={%left, %right}")
    assert found.calls("branch") == ["left", "right"]
    found = one("%c = f32[8] conditional(%i, %a), true_computation=%yes, false_computation=%no")
    assert found.calls("branch") == ["yes", "no"]


def test_trips_are_annotated_or_compared_with() -> None:
    read = read_program(NESTED)
    loops = {i.name: i for body in read.computations.values() for i in body if i.opcode == "while"}
    assert read.trips(loops["w"]) == 12
    assert read.trips(loops["w2"]) == 3, "XLA's own annotation comes first"


def test_a_loop_that_waits_for_something_else_has_no_length() -> None:
    text = condition("c", 4).replace("constant(4)", "get-tuple-element(%c.p), index=1")
    read = read_program(program("  %w = f32[8] while(%t), condition=%c, body=%b\n", text))
    assert read.trips(read.computations["main"][0]) is None


def test_lines_are_those_of_the_package() -> None:
    frames = read_program(NESTED).frames
    assert frames.source(3) == "deepecg_jax/models/blocks/attention.py:64", "the caller of numpy"
    assert frames.source(2) == "deepecg_jax/models/blocks/attention.py:64"
    assert frames.source(1) == "someone/run.py:7", "no line of the package is on the stack"
    assert frames.source(None) == frames.source(99) == ""


def test_callers_may_be_numbered_without_the_shift() -> None:
    tables = TABLES.replace("parent_frame_id=1}", "parent_frame_id=0}")
    tables = tables.replace("parent_frame_id=2}", "parent_frame_id=1}")
    tables = tables.replace("parent_frame_id=3}", "parent_frame_id=2}")
    frames = read_program(program("  %p = f32[8] parameter(0)\n", tables=tables)).frames
    assert frames.source(3) == "deepecg_jax/models/blocks/attention.py:64"


def test_other_texts_are_refused() -> None:
    with pytest.raises(ValueError, match="no entry computation"):
        read_program("module @jit_step {\n}\n")


def test_a_tool_is_named_by_who_calls_it() -> None:
    tools = TABLES.replace("models/blocks/attention.py", "models/products.py").replace(
        "/home/someone/run.py", "/opt/deepecg_jax/models/wcr/transformer.py"
    )
    frames = read_program(program("", tables=tools)).frames
    assert frames.source(2) == "deepecg_jax/models/wcr/transformer.py:7"
    alone = TABLES.replace("models/blocks/attention.py", "models/products.py")
    found = read_program(program("", tables=alone)).frames
    assert found.source(2) == "deepecg_jax/models/products.py:64", "nobody of the package called"
