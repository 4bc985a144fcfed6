"""Small programs as XLA:TPU prints them, written by hand."""

TABLES = """FileNames
1 "/home/someone/run.py"
2 "/opt/site-packages/deepecg_jax/models/blocks/attention.py"
3 "/opt/site-packages/numpy/core.py"

FunctionNames
1 "<module>"
2 "attention"

FileLocations
1 {file_name_id=1 function_name_id=1 line=7 end_line=7 column=0 end_column=1}
2 {file_name_id=2 function_name_id=2 line=64 end_line=64 column=4 end_column=19}
3 {file_name_id=3 function_name_id=2 line=3 end_line=3 column=4 end_column=19}

StackFrames
1 {file_location_id=1 parent_frame_id=1}
2 {file_location_id=2 parent_frame_id=2}
3 {file_location_id=3 parent_frame_id=3}

"""


def cycles(count: int) -> str:
    """The part of an instruction that holds an estimate."""
    return f'backend_config={{"window_config":{{"estimated_cycles":"{count}"}}}}'


def line(number: int, op_name: str) -> str:
    """The part of an instruction that says where it comes from, by the frame of `TABLES`."""
    return f'metadata={{op_name="jit(step)/{op_name}" stack_frame_id={number}}}'


def condition(name: str, count: int) -> str:
    """Of a loop that runs ``count`` times."""
    return f"""%{name} (p: (s32[], f32[8])) -> pred[] {{
  %{name}.n = s32[]{{:T(128)}} constant({count})
  %{name}.p = (s32[]{{:T(128)}}, f32[8]{{0:T(128)}}) parameter(0)
  %{name}.i = s32[]{{:T(128)}} get-tuple-element(%{name}.p), index=0
  ROOT %{name}.lt = pred[]{{:T(512)}} compare(%{name}.i, %{name}.n), direction=LT
}}

"""


def program(entry: str, computations: str = "", tables: str = TABLES) -> str:
    """A module: the body of its entry, and other computations."""
    head = "HloModule jit_step, is_scheduled=true, num_partitions=4\n\n"
    return f"{head}{tables}{computations}ENTRY %main (p: f32[8]) -> f32[8] {{\n{entry}}}\n"


TRIPS = 'backend_config={"known_trip_count":{"n":"3"}}'
# a loop of 12 with a loop of 3 inside; fusions of 100, 10 and 1 cycles
NESTED = program(
    f"""  %p = f32[8]{{0:T(128)}} parameter(0)
  %a = f32[8]{{0:T(128)}} fusion(%p), kind=kLoop, calls=%f, {cycles(1)}
  %t = (s32[]{{:T(128)}}, f32[8]{{0:T(128)}}) tuple(%z, %a)
  %w = (s32[]{{:T(128)}}, f32[8]{{0:T(128)}}) while(%t), condition=%outer.cond, body=%outer
  ROOT %r = f32[8]{{0:T(128)}} get-tuple-element(%w), index=1
""",
    f"""%f (x: f32[8]) -> f32[8] {{
  %x = f32[8]{{0:T(128)}} parameter(0)
  ROOT %y = f32[8]{{0:T(128)}} add(%x, %x), {line(1, "add")}, {cycles(5)}
}}

%inner (p: (s32[], f32[8])) -> (s32[], f32[8]) {{
  %q = (s32[]{{:T(128)}}, f32[8]{{0:T(128)}}) parameter(0)
  %b = f32[8]{{0:T(128)}} fusion(%q), kind=kLoop, calls=%f, {cycles(10)}
  ROOT %s = (s32[]{{:T(128)}}, f32[8]{{0:T(128)}}) tuple(%i, %b)
}}

%outer (p: (s32[], f32[8])) -> (s32[], f32[8]) {{
  %q2 = (s32[]{{:T(128)}}, f32[8]{{0:T(128)}}) parameter(0)
  %c = f32[8]{{0:T(128)}} fusion(%q2), kind=kLoop, calls=%f, {cycles(100)}
  %w2 = (s32[], f32[8]) while(%q2), condition=%unsure, body=%inner, {TRIPS}
  ROOT %s2 = (s32[]{{:T(128)}}, f32[8]{{0:T(128)}}) tuple(%i2, %c)
}}

"""
    + condition("outer.cond", 12)
    + condition("unsure", 7),
)
