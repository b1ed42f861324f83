"""Changes of one operator, constant, comparison, condition or check in a module's source.

A docstring, an annotation, the text of an error message and the repr of an object are left alone: no number depends
on them.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    **{ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq},
    **{ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In},
}
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    **{ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult},
    **{ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitOr},
}
CALLS = {
    **{"min": "max", "max": "min", "minimum": "maximum", "maximum": "minimum", "any": "all", "all": "any"},
    **{"sum": "mean", "mean": "sum", "cos": "sin", "sin": "cos", "zeros": "ones", "floor": "ceil", "round": "int"},
}
"""Functions and methods by the one that takes their place."""


@dataclass(frozen=True)
class Mutation:
    """One change of a module.

    Attributes:
        line: number of the line, from 1.
        before: source line as it is, without indentation.
        after: source line, or lines joined to one, as it becomes.
        source: the whole module with the change.
    """

    line: int
    before: str
    after: str
    source: str


def mutations(source: str) -> list[Mutation]:
    """All changes of a module, in the order of its source."""
    lines = source.encode().splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    code = source.encode()
    found = {}
    for node, replacement in _changes(ast.parse(source)):
        assert isinstance(node, ast.expr | ast.stmt)
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        first = starts[node.lineno - 1] + node.col_offset
        last = starts[node.end_lineno - 1] + node.end_col_offset
        changed = code[:first] + replacement.encode() + code[last:]
        # The lines that the node lies on, before and after.
        end = starts[node.end_lineno]
        before = code[starts[node.lineno - 1] : end].decode()
        after = changed[starts[node.lineno - 1] : end + len(changed) - len(code)].decode()
        mutation = Mutation(node.lineno, _joined(before), _joined(after), changed.decode())
        found[mutation.source] = mutation
    return sorted(found.values(), key=lambda mutation: mutation.line)


def _joined(lines: str) -> str:
    return " ".join(lines.split())


def _changes(tree: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """Nodes, and the text that takes the place of each."""
    for node in _code(tree):
        if isinstance(node, ast.Constant):
            if (other := _other_constant(node.value)) is not None:
                yield node, other
        elif isinstance(node, ast.Compare):
            for position, operator in enumerate(node.ops):
                ops = [*node.ops[:position], COMPARISONS[type(operator)](), *node.ops[position + 1 :]]
                yield node, _text(ast.Compare(node.left, ops, node.comparators))
        elif isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
            yield node, _text(ast.BinOp(node.left, OPERATORS[type(node.op)](), node.right))
        elif isinstance(node, ast.AugAssign) and type(node.op) in OPERATORS:
            yield node, ast.unparse(ast.AugAssign(node.target, OPERATORS[type(node.op)](), node.value))
        elif isinstance(node, ast.BoolOp):
            other_op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield node, _text(ast.BoolOp(other_op, node.values))
        elif isinstance(node, ast.UnaryOp) and not isinstance(node.op, ast.UAdd):
            yield node, _text(node.operand)
        elif isinstance(node, ast.If | ast.IfExp | ast.While):
            yield node.test, _text(ast.UnaryOp(ast.Not(), node.test))
        elif isinstance(node, ast.Call) and (call := _other_call(node)) is not None:
            yield node, ast.unparse(call)
        elif isinstance(node, ast.Raise) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
            yield node, "pass"


def _text(node: ast.expr) -> str:
    return f"({ast.unparse(node)})"


def _code(node: ast.AST) -> Iterator[ast.AST]:
    """The node and what lies below it, without annotations, texts and reprs."""
    yield node
    if isinstance(node, ast.Raise | ast.Assert | ast.JoinedStr):
        return
    if isinstance(node, ast.keyword) and node.arg == "strict":  # of zip: lengths that are equal whatever the input
        return
    if isinstance(node, ast.FunctionDef) and node.name in ("__str__", "__repr__"):
        return
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _code(child)


def _other_constant(value: object) -> str | None:
    """Another number or truth value: twice a float, the next integer."""
    if isinstance(value, bool):
        return repr(not value)
    if isinstance(value, int):
        return repr(value + 1)
    if isinstance(value, float):
        return repr(2 * value if value else 1.0)
    return None


def _other_call(node: ast.Call) -> ast.Call | None:
    function = node.func
    if isinstance(function, ast.Name) and function.id in CALLS:
        return ast.Call(ast.Name(CALLS[function.id]), node.args, node.keywords)
    if isinstance(function, ast.Attribute) and function.attr in CALLS:
        return ast.Call(ast.Attribute(function.value, CALLS[function.attr]), node.args, node.keywords)
    return None
