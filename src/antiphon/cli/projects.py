"""`antiphon projects`: make projects, list and archive them, and say what they may use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from antiphon.cli.accounts import (
    ConfigOption,
    DataOption,
    day,
    edited,
    looked_up,
    name_of,
    print_json,
    project_named,
)
from antiphon.cli.options import JsonOption
from antiphon.cli.terminal import WRONG, fail, note, out, plain, table

if TYPE_CHECKING:
    from antiphon.engine.accounts import Accounts
    from antiphon.policy.access import ModelPermissions
    from antiphon.policy.administration import Edit
    from antiphon.policy.directory import Project

projects = typer.Typer(no_args_is_help=True, help="Make projects, list them, and say what they may use.")

ProjectArgument = Annotated[
    str, typer.Argument(metavar="PROJECT", help="The id of the project, or its name.", show_default=False)
]
ModelOption = Annotated[
    list[str] | None,
    typer.Option("--model", metavar="NAME", help="A model; '*' in it stands for any text. As often as needed."),
]
ToolOption = Annotated[
    list[str] | None, typer.Option("--tool", metavar="NAME", help="A hosted tool. As often as needed.")
]


@projects.command()
def create(
    name: Annotated[str, typer.Argument(help="Its name.", show_default=False)],
    *,
    config: ConfigOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Make a project, and print its id.

    \b
    antiphon projects create search
    """
    from antiphon.policy import administration as act

    made = edited(config, data, lambda edit: act.create_project(edit, name_of(name)))
    if json:
        print_json(_told(made))
    else:
        out(made.id)


@projects.command("list")
def list_projects(
    *,
    archived: Annotated[bool, typer.Option("--archived", help="Archived ones too.")] = False,
    config: ConfigOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """List the projects, with what they may use.

    \b
    antiphon projects list
    antiphon projects list --archived --json
    """
    found = [each for each in looked_up(config, data, _all) if archived or each.archived_at is None]
    if json:
        print_json([_told(each) for each in found])
        return
    rows = [
        (each.id, each.name, _models(each.models), _denied(each), day(each.created_at), _state(each)) for each in found
    ]
    out(plain(table([("ID", "NAME", "MODELS", "TOOLS", "CREATED", "STATE"), *rows])))


@projects.command()
def archive(project: ProjectArgument, *, config: ConfigOption = None, data: DataOption = None) -> None:
    """End a project: its keys are refused from then on. What it has stored stays.

    \b
    antiphon projects archive search
    """
    from antiphon.policy import administration as act

    def end(edit: Edit) -> Project:
        return act.archive_project(edit, project_named(edit.directory, project).id)

    ended = edited(config, data, end)
    note(f"{ended.id} ({ended.name}) is archived")


@projects.command()
def allow(
    project: ProjectArgument,
    *,
    model: ModelOption = None,
    tool: ToolOption = None,
    all_models: Annotated[bool, typer.Option("--all-models", help="Lift all restrictions of models.")] = False,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Let a project use models and hosted tools.

    The first model that is allowed makes it a list: the project may use no others from then on. A model that was
    denied is denied no longer.

    \b
    antiphon projects allow search --model 'gpt-5*' --model rehearsal
    antiphon projects allow search --tool web_search
    antiphon projects allow search --all-models
    """
    from antiphon.policy.access import ModelPermissions

    def allowed(now: ModelPermissions) -> ModelPermissions:
        given = tuple(model or ())
        if all_models:
            return ModelPermissions()
        if now.mode == "allow_list" or not now.model_ids:
            return ModelPermissions("allow_list", tuple(dict.fromkeys((*now.model_ids, *given))))
        if lacking := [name for name in given if name not in now.model_ids]:
            fail(f"the project may use all models but those it is denied, which {lacking[0]!r} is not", WRONG)
        return ModelPermissions("deny_list", tuple(name for name in now.model_ids if name not in given))

    _permit(project, allowed if model or all_models else None, dict.fromkeys(tool or (), True), config, data)


@projects.command()
def deny(
    project: ProjectArgument,
    *,
    model: ModelOption = None,
    tool: ToolOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Let a project no longer use models and hosted tools.

    \b
    antiphon projects deny search --model 'gpt-5*'
    antiphon projects deny search --tool mcp --tool code_interpreter
    """
    from antiphon.policy.access import ModelPermissions

    def denied(now: ModelPermissions) -> ModelPermissions:
        given = tuple(model or ())
        if now.mode == "deny_list":
            return ModelPermissions("deny_list", tuple(dict.fromkeys((*now.model_ids, *given))))
        if lacking := [name for name in given if name not in now.model_ids]:
            fail(f"the project may use listed models only, and {lacking[0]!r} is not in its list", WRONG)
        return ModelPermissions("allow_list", tuple(name for name in now.model_ids if name not in given))

    _permit(project, denied if model else None, dict.fromkeys(tool or (), False), config, data)


def _permit(project: str, models: Any, tools: dict[str, bool], config: Any, data: Any) -> None:
    """Change what a project may use. `models` makes new permissions out of those there are."""
    from antiphon.policy import administration as act
    from antiphon.policy.access import HostedToolPermissions

    known = HostedToolPermissions.__struct_fields__
    if unknown := [name for name in tools if name not in known]:
        fail(f"there is no hosted tool {unknown[0]!r}. There are: {', '.join(known)}", WRONG)
    if models is None and not tools:
        fail("name something with --model or --tool", WRONG)

    def permit(edit: Edit) -> Project:
        found = project_named(edit.directory, project)
        if tools:
            found = act.permit_tools(edit, found.id, tools)
        if models is not None:
            found = act.permit_models(edit, found.id, models(found.models))
        return found

    changed = edited(config, data, permit)
    note(f"{changed.id} ({changed.name}): models {_models(changed.models)}; tools {_denied(changed)}")


async def _all(accounts: Accounts) -> list[Project]:
    return list(accounts.directory.projects.values())


def _told(project: Project) -> dict[str, Any]:
    return {
        "id": project.id,
        "name": project.name,
        "created_at": int(project.created_at),
        "archived_at": None if project.archived_at is None else int(project.archived_at),
        "model_permissions": project.models,
        "hosted_tool_permissions": project.tools,
    }


def _state(project: Project) -> str:
    return "active" if project.archived_at is None else "archived"


def _models(models: ModelPermissions) -> str:
    listed = ", ".join(models.model_ids)
    if models.mode == "allow_list":
        return listed or "none"
    return f"all but {listed}" if listed else "all"


def _denied(project: Project) -> str:
    import msgspec

    denied = [name for name, allowed in msgspec.structs.asdict(project.tools).items() if not allowed]
    return f"all but {', '.join(denied)}" if denied else "all"
