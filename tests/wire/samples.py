"""One instance of each noun, with every field that a live object of its type has."""

from __future__ import annotations

from typing import Any

from antiphon.wire import content, events, items, response, tools

ANNOTATIONS = [
    content.FileCitation(file_id="file_1", filename="a.txt", index=3),
    content.UrlCitation(start_index=0, end_index=4, title="A page", url="https://example.com"),
    content.ContainerFileCitation(
        container_id="cntr_1", file_id="cfile_1", filename="b.csv", start_index=1, end_index=2
    ),
    content.FilePath(file_id="file_2", index=9),
]
LOGPROB = content.Logprob(
    token="a", bytes=[97], logprob=-0.5, top_logprobs=[content.TopLogprob(token="b", bytes=[98], logprob=-1.5)]
)
EVENT_LOGPROB = content.Logprob(token="a", logprob=-0.5, top_logprobs=[content.TopLogprob(token="b", logprob=-1.5)])
OUTPUT_TEXT = content.OutputText(text="abc", annotations=ANNOTATIONS, logprobs=[LOGPROB])
PROGRAM = {"type": "program", "caller_id": "prog_1"}
SCREENSHOT = content.ComputerScreenshot(image_url="data:image/png;base64,iVBORw0KGgo=")

OUTPUT_ITEMS: list[Any] = [
    items.Message(
        id="msg_1",
        status="completed",
        role="assistant",
        content=[OUTPUT_TEXT, content.Refusal(refusal="no")],
        phase="final_answer",
    ),
    items.Reasoning(
        id="rs_1",
        status="completed",
        summary=[content.SummaryText(text="thought")],
        content=[content.ReasoningText(text="thinking")],
        encrypted_content="gAAA",
    ),
    items.FunctionCall(
        id="fc_1",
        status="completed",
        call_id="call_1",
        name="f",
        arguments="{}",
        namespace="n",
        async_=True,
        caller=PROGRAM,
    ),
    items.FunctionCallOutput(
        id="fco_1", status="completed", call_id="call_1", output=[content.InputText(text="x")], name="f", caller=PROGRAM
    ),
    items.CustomToolCall(
        id="ctc_1", status="completed", call_id="call_2", name="c", input="x", caller={"type": "direct"}
    ),
    items.CustomToolCallOutput(id="cto_1", status="completed", call_id="call_2", output="y"),
    items.FileSearchCall(
        id="fs_1",
        status="completed",
        queries=["q"],
        results=[
            items.FileSearchResult(
                file_id="file_1", filename="a.txt", score=0.5, text="t", attributes={"k": "v", "n": 1.5}
            )
        ],
    ),
    items.WebSearchCall(
        id="ws_1",
        status="completed",
        action=items.Search(query="q", queries=["q"], sources=[{"type": "url", "url": "https://example.com"}]),
    ),
    items.WebSearchCall(id="ws_2", status="completed", action=items.OpenPage(url="https://example.com")),
    items.WebSearchCall(id="ws_3", status="failed", action=items.FindInPage(pattern="x", url="https://example.com")),
    items.ComputerCall(
        id="cu_1",
        status="completed",
        call_id="call_3",
        action={"type": "screenshot"},
        actions=[{"type": "wait"}],
        pending_safety_checks=[{"id": "sc_1", "code": "c", "message": "m"}],
    ),
    items.ComputerCallOutput(
        id="cuo_1", status="completed", call_id="call_3", output=SCREENSHOT, acknowledged_safety_checks=[{"id": "sc_1"}]
    ),
    items.Program(id="prog_1", call_id="call_4", code="print()", fingerprint="f"),
    items.ProgramOutput(id="progo_1", status="completed", call_id="call_4", result="1"),
    items.ToolSearchCall(id="tsc_1", status="completed", call_id=None, execution="server", arguments={"q": 1}),
    items.ToolSearchOutput(
        id="tso_1",
        status="completed",
        call_id=None,
        execution="server",
        tools=[{"type": "function", "name": "f", "parameters": {}, "strict": True}],
    ),
    items.AdditionalTools(id="at_1", role="developer", tools=[{"type": "local_shell"}]),
    items.Compaction(id="cmp_1", encrypted_content="gAAA"),
    items.ImageGenerationCall(
        id="ig_1", status="completed", result="aaaa", size="1024x1024", quality="high", output_format="png"
    ),
    items.CodeInterpreterCall(
        id="ci_1",
        status="completed",
        container_id="cntr_1",
        code="print(1)",
        outputs=[items.OutputLogs(logs="1"), items.OutputImage(url="https://example.com/a.png")],
    ),
    items.LocalShellCall(
        id="lsh_1",
        status="completed",
        call_id="call_5",
        action=items.LocalShellAction(command=["ls"], env={"A": "b"}, timeout_ms=1000, user="u", working_directory="/"),
    ),
    items.LocalShellCallOutput(id="lsho_1", status="completed", output="a"),
    items.ShellCall(
        id="sh_1",
        status="completed",
        call_id="call_6",
        action=items.ShellAction(commands=["ls"], timeout_ms=1000, max_output_length=100),
        environment={"type": "local"},
    ),
    items.ShellCallOutput(
        id="sho_1",
        status="completed",
        call_id="call_6",
        max_output_length=100,
        output=[
            items.ShellOutput(stdout="a", stderr="", outcome=items.Exit(exit_code=0)),
            items.ShellOutput(stdout="", stderr="", outcome=items.Timeout()),
        ],
    ),
    items.ApplyPatchCall(
        id="apc_1", status="completed", call_id="call_7", operation=items.CreateFile(path="a", diff="+x")
    ),
    items.ApplyPatchCall(
        id="apc_2", status="in_progress", call_id="call_8", operation=items.UpdateFile(path="a", diff="+x")
    ),
    items.ApplyPatchCall(id="apc_3", status="completed", call_id="call_9", operation=items.DeleteFile(path="a")),
    items.ApplyPatchCallOutput(id="apo_1", status="failed", call_id="call_7", output="no"),
    items.McpListTools(
        id="mcpl_1",
        server_label="s",
        tools=[items.McpListedTool(name="t", input_schema={"type": "object"}, description="d", annotations={"a": 1})],
        error=None,
    ),
    items.McpCall(
        id="mcp_1",
        status="failed",
        server_label="s",
        name="t",
        arguments="{}",
        approval_request_id=None,
        output=None,
        error={"type": "http_error", "code": 500, "message": "m"},
    ),
    items.McpApprovalRequest(id="mcpr_1", server_label="s", name="t", arguments="{}"),
    items.McpApprovalResponse(id="mcpa_1", approval_request_id="mcpr_1", approve=False, reason="r"),
]

INPUT_ITEMS: list[Any] = [
    items.Message(role="user", content="hello"),
    items.Message(
        role="developer",
        content=[
            content.InputText(text="hello"),
            content.InputImage(image_url="https://example.com/a.png", detail="low"),
            content.InputFile(file_data="aaaa", filename="a.pdf"),
        ],
    ),
    items.ConfigurationUpdate(reasoning={"effort": "low"}),
    items.CompactionTrigger(),
    items.ItemReference(id="msg_1"),
]

TOOLS: list[Any] = [
    tools.FunctionTool(
        name="f",
        description="d",
        parameters={"type": "object", "properties": {}},
        strict=True,
        output_schema={"type": "string"},
        async_=False,
        allowed_callers=["direct", "programmatic"],
        defer_loading=False,
    ),
    tools.CustomTool(name="c", description="d", format=tools.Grammar(syntax="lark", definition="start: /a/")),
    tools.CustomTool(name="d", format=tools.PlainText()),
    tools.NamespaceTool(name="n", description="d", tools=[tools.FunctionTool(name="f")]),
    tools.ToolSearchTool(execution="client", description="d", parameters={}),
    tools.ProgrammaticToolCallingTool(),
    tools.FileSearchTool(
        vector_store_ids=["vs_1"],
        filters={"type": "eq", "key": "k", "value": 1.0},
        max_num_results=5,
        ranking_options={"ranker": "auto"},
    ),
    tools.WebSearchTool(
        type="web_search_2025_08_26",
        filters={"allowed_domains": ["example.com"]},
        search_context_size="low",
        user_location={"type": "approximate", "country": "DE"},
        external_web_access=True,
    ),
    tools.WebSearchTool(),
    tools.WebSearchPreviewTool(search_context_size="high", search_content_types=["text"]),
    tools.WebSearchPreviewTool(type="web_search_preview_2025_03_11"),
    tools.ComputerTool(),
    tools.ComputerUsePreviewTool(display_width=1, display_height=2, environment="browser"),
    tools.McpTool(
        server_label="s",
        server_url="https://example.com",
        headers={"a": "b"},
        allowed_tools=["t"],
        require_approval="never",
    ),
    tools.McpTool(
        server_label="s",
        connector_id="connector_gmail",
        allowed_tools={"read_only": True},
        require_approval={"never": {"tool_names": ["t"]}},
    ),
    tools.CodeInterpreterTool(container={"type": "auto"}),
    tools.CodeInterpreterTool(container="cntr_1"),
    tools.ImageGenerationTool(
        model="gpt-image-2", quality="low", size="1024x1024", partial_images=2, output_compression=50
    ),
    tools.LocalShellTool(),
    tools.ShellTool(environment={"type": "container_auto"}),
    tools.ApplyPatchTool(allowed_callers=["direct"]),
]

TOOL_CHOICES: list[Any] = [
    "none",
    "auto",
    "required",
    tools.AllowedTools(mode="auto", tools=[{"type": "function", "name": "f"}]),
    tools.FunctionChoice(name="f"),
    tools.CustomChoice(name="c"),
    tools.McpChoice(server_label="s", name="t"),
    tools.HostedChoice(type="file_search"),
    tools.ApplyPatchChoice(),
    tools.ShellChoice(),
    tools.ProgrammaticToolCallingChoice(),
]

USAGE = response.Usage(
    input_tokens=10,
    input_tokens_details=response.InputTokensDetails(cached_tokens=2, cache_write_tokens=1),
    output_tokens=5,
    output_tokens_details=response.OutputTokensDetails(reasoning_tokens=3),
    total_tokens=15,
)

RESPONSE = response.Response(
    id="resp_1",
    created_at=1_700_000_000,
    completed_at=1_700_000_001,
    status="completed",
    instructions="Be kind.",
    model="rehearsal",
    output=OUTPUT_ITEMS,
    tools=TOOLS,
    tool_choice=tools.FunctionChoice(name="f"),
    text=tools.TextConfig(
        format=tools.FormatJsonSchema(name="n", schema_={"type": "object"}, strict=True), verbosity="low"
    ),
    reasoning=response.ReasoningConfig(effort="low", summary="auto"),
    usage=USAGE,
    metadata={"k": "v"},
    conversation=response.ConversationRef(id="conv_1"),
    prompt=response.Prompt(id="pmpt_1", version="1", variables={"a": "b"}),
)
FAILED = response.Response(
    id="resp_2",
    created_at=1,
    model="rehearsal",
    status="failed",
    error=response.ResponseError(code="server_error", message="m"),
)
INCOMPLETE = response.Response(
    id="resp_3",
    created_at=1,
    model="rehearsal",
    status="incomplete",
    incomplete_details=response.IncompleteDetails(reason="max_output_tokens"),
)

FIELDS: dict[str, Any] = {
    "item_id": "msg_1",
    "output_index": 1,
    "content_index": 2,
    "summary_index": 3,
    "command_index": 4,
    "annotation_index": 5,
    "partial_image_index": 6,
    "logprobs": [EVENT_LOGPROB],
    "annotation": ANNOTATIONS[1],
    "item": OUTPUT_ITEMS[0],
    "part": OUTPUT_TEXT,
    "output": [items.ShellOutput(stdout="a", stderr="", outcome=items.Exit(exit_code=0))],
    "code": "x",
    "param": None,
    "status": "incomplete",
}
SPECIAL: dict[type, dict[str, Any]] = {
    events.ReasoningSummaryPartAdded: {"part": content.SummaryText(text="s")},
    events.ReasoningSummaryPartDone: {"part": content.SummaryText(text="s")},
    events.ShellCallOutputContentDelta: {"delta": events.ShellDelta(stdout="a", stderr="b")},
    events.ResponseFailed: {"response": FAILED},
    events.ResponseIncomplete: {"response": INCOMPLETE},
}


def event(struct: type[Any], number: int = 7) -> Any:
    """An event of a class with all its fields."""
    names = [name for name in struct.__struct_fields__ if name != "sequence_number"]
    own = {"response": RESPONSE, **FIELDS, **SPECIAL.get(struct, {})}
    return struct(sequence_number=number, **{name: own.get(name, "text") for name in names})


EVENTS: list[Any] = [event(struct) for struct in events.EVENTS.values()]
