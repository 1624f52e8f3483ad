"""One valid item of every kind that has a grammar, to test judges and translators with."""

from __future__ import annotations

from collections.abc import Mapping

from tests.support.response_events import (
    ScriptedItem,
    apply_patch_call,
    code_interpreter_call,
    compaction,
    computer_call,
    custom_tool_call,
    file_search_call,
    function_call,
    image_generation_call,
    local_shell_call,
    mcp_approval_request,
    mcp_call,
    mcp_list_tools,
    message,
    output_text,
    reasoning,
    refusal,
    shell_call,
    shell_call_output,
    silent,
    url_citation,
    web_search_call,
)

CITED = output_text("Foxes are quick.", annotations=[url_citation(), url_citation(end=5)])
FOUND = {"file_id": "file_1", "filename": "fox.txt", "score": 0.5, "text": "A fox.", "attributes": {}}
HTTP_ERROR = {"type": "http_error", "code": 502, "message": "Bad gateway"}
SCREENSHOT = {"type": "computer_screenshot", "image_url": "data:image/png;base64,aGk="}

# Items that events tell: each has something between its added and its done.
TOLD: Mapping[str, ScriptedItem] = {
    "message": message("The quick brown fox."),
    "message_of_three_parts": message("The quick", CITED, refusal("I cannot say more.")),
    "message_with_logprobs": message(output_text("The quick brown fox.", logprobs=True)),
    "message_commentary": message("Let me look.", phase="commentary"),
    "reasoning_summary": reasoning("First I think.", "Then I answer.", encrypted_content="c2VjcmV0c2VjcmV0"),
    "reasoning_text": reasoning(text=["Let me think about foxes."]),
    "reasoning_both": reasoning("In short: foxes.", text=["Foxes are quick."], status="completed"),
    "function_call": function_call("look_up", '{"animal": "fox", "deep": true}'),
    "function_call_in_namespace": function_call("look_up", "{}", call_id="call_2", namespace="zoo"),
    "custom_tool_call": custom_tool_call("sql", "select name from foxes"),
    "web_search_call": web_search_call("quick foxes"),
    "file_search_call": file_search_call("foxes", results=[FOUND]),
    "code_interpreter_call": code_interpreter_call("print('fox' * 3)", outputs=[{"type": "logs", "logs": "fox"}]),
    "image_generation_call": image_generation_call("Zm94", partial=["Zg==", "Zm8="]),
    "mcp_list_tools": mcp_list_tools("zoo", "feed", "pet"),
    "mcp_list_tools_failed": mcp_list_tools("zoo", error="no route to the zoo"),
    "mcp_call": mcp_call("feed", '{"animal": "fox"}'),
    "mcp_call_failed": mcp_call("feed", '{"animal": "fox"}', error=HTTP_ERROR),
    "shell_call": shell_call("ls -l /tmp", "cat fox.txt"),
    "shell_call_output": shell_call_output("total 1 fox", "a quick fox"),
    "apply_patch_call": apply_patch_call("fox.txt", "@@ -1 +1 @@ -cat +fox"),
    "compaction": compaction("c2VjcmV0c2VjcmV0"),
}

# Items that are added and done, with nothing between.
UNTOLD: Mapping[str, ScriptedItem] = {
    "message_empty": message(),
    "reasoning_empty": reasoning(),
    "apply_patch_call_delete": apply_patch_call("fox.txt", None),
    "mcp_approval_request": mcp_approval_request("feed", "{}"),
    "mcp_approval_response": silent("mcp_approval_response", approval_request_id="mcpr_1", approve=True),
    "local_shell_call": local_shell_call("ls", "-l"),
    "local_shell_call_output": silent("local_shell_call_output", output="fox", status="completed"),
    "computer_call": computer_call({"type": "screenshot"}),
    "computer_call_output": silent("computer_call_output", call_id="c", output=SCREENSHOT, status="completed"),
    "apply_patch_call_output": silent("apply_patch_call_output", call_id="c", status="failed", output="no such file"),
    "tool_search_call": silent("tool_search_call", call_id=None, arguments={}, execution="server", status="completed"),
    "tool_search_output": silent("tool_search_output", call_id=None, tools=[], execution="server", status="completed"),
    "program": silent("program", call_id="c", code="feed(fox)", fingerprint="f"),
    "program_output": silent("program_output", call_id="c", result="fed", status="completed"),
    "additional_tools": silent("additional_tools", role="developer", tools=[]),
    "function_call_output": silent("function_call_output", call_id="c", output="fed", status="completed"),
    "custom_tool_call_output": silent("custom_tool_call_output", call_id="c", output="fed", status="completed"),
}

SAMPLES: Mapping[str, ScriptedItem] = {**TOLD, **UNTOLD}
