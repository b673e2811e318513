"""``dbt-dynamic explain``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import click
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from dbt.adapters.dynamic.cli.options import common
from dbt.adapters.dynamic.cli.output import print_json
from dbt.adapters.dynamic.cli.project import Where, open_project, run_dbt
from dbt.adapters.dynamic.errors import DynamicTableError
from dbt.adapters.dynamic.refresh.explain import Explanation

_AS_LONG_AS_IT_IS = 10_000


@click.command()
@common
@click.option(
    "--analyze", is_flag=True, help="Refresh the model, too, and show how long each phase took."
)
@click.argument("model")
def explain(
    where: Where,
    output: str,
    analyze: bool,
    model: str,
) -> None:
    """Show what the next refresh of MODEL would do now, and why.

    What changed in each source, the plan, how many keys are affected, the decision, and the
    statements. It is what `dbt run --select MODEL` does. Without --analyze nothing is changed.
    """
    with open_project(where) as project:
        explanation = project.adapter.dynamic_table_explain(model)
        manifest = project.manifest
    response: dict[str, Any] | None = None
    if analyze:
        name = manifest.nodes[explanation.unique_id].search_name
        done = run_dbt("run", "--select", name, *where.options, manifest=manifest)
        (one,) = [one for one in done.result if one.node.unique_id == explanation.unique_id]
        if not done.success:
            raise DynamicTableError(f"The refresh failed: {one.message}")
        response = one.adapter_response
    if output == "json":
        print_json({**asdict(explanation), "analyze": response})
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _AS_LONG_AS_IT_IS
    console.print(tree(explanation, response))
    for number, stage in enumerate(explanation.stages, start=1):
        if stage.statement:
            click.echo(f"\n-- {number}. {stage.does}\n{stage.statement.rstrip(';')};")


def tree(explanation: Explanation, response: Mapping[str, Any] | None) -> Tree:
    """The explanation for people, all but the statements.

    Args:
        explanation: what a refresh would do.
        response: what it did, if it did.
    """
    root = Tree(Text(explanation.dynamic_table, style="bold"))
    root.add(Text.assemble(("decision: ", "bold"), explanation.decision))
    if explanation.affected:
        root.add(Text.assemble(("affected: ", "bold"), explanation.affected))
    timings = {}
    if response is not None:
        timings = dict(response["timings"])
        took = f"{response['_message']} in {sum(timings.values()):.3f} s"
        root.add(Text.assemble(("refreshed: ", "bold"), took))
    sources = root.add(Text("sources", style="bold"))
    for source in explanation.sources:
        sources.add(Text(source.line))
    plan = root.add(Text("plan", style="bold"))

    def phase(name: str) -> Tree:
        seconds = timings.pop(name, None)  # the first time that it comes
        return plan.add(Text(name if seconds is None else f"{name} ({seconds:.3f} s)"))

    if "plan" in timings:
        phase("plan")
    number = 0
    for name, stages in explanation.phases():
        branch = phase(name)
        for number, stage in enumerate(stages, start=number + 1):  # noqa: B020
            branch.add(Text(f"{number}. {stage.does}"))
    for name in list(timings):
        phase(name)
    if not plan.children:
        plan.add(Text("nothing to do"))
    for note in explanation.notes:
        root.add(Text.assemble(("note: ", "bold"), note))
    return root
