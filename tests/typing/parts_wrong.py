"""What a type checker has to refuse of the parts around the core: each line that ends in `# wrong`. Nothing is run."""

from __future__ import annotations

from openai import AsyncOpenAI, OpenAI

from antiphon.client import AsyncClient, Budget, Cache, Client, Costs, Moderation, Moderations, Optimiser, RuleList

rules = RuleList(words={"a": ["b"]})

AsyncClient(AsyncOpenAI(), cache="answers.sqlite")  # wrong
AsyncClient(AsyncOpenAI(), moderation=True)  # wrong
Client(OpenAI(), costs=Cache())  # wrong
Client(OpenAI(), optimizer=True)  # wrong
Cache(ttl="an hour")  # wrong
Cache(60)  # wrong
Budget(0.5)  # wrong
Budget("5", "year")  # wrong
Costs(budgets=["5"])  # wrong
Costs(limit="5")  # wrong
Costs().summary("year")  # wrong
Moderation()  # wrong
Moderation("rules")  # wrong
Moderation(rules, output="block")  # wrong
Moderation(rules, input="replace")  # wrong
Moderations(threshold="high")  # wrong
RuleList(words=["b"])  # wrong
Optimiser(context_window="big")  # wrong
Optimiser(max_chars=4000)  # wrong
