"""CostTracker: exact sums by model and period, budgets that hold, and one alert instead of one a request."""

import tempfile
from decimal import Decimal
from pathlib import Path

from openai import OpenAI

from antiphon.client import Budget, BudgetAlert, BudgetExceeded, Client, Costs


def alert(record: BudgetAlert) -> None:
    print(f"{record.spent} USD of {record.budget} are spent")


if __name__ == "__main__":
    ledger = Path(tempfile.mkdtemp()) / "costs.jsonl"  # in a program of yours: a file that stays
    budgets = [Budget("50.00", "day"), Budget("5.00", "hour"), Budget(Decimal("0.005"), "hour", model="gpt-5")]
    costs = Costs(budgets=budgets, ledger=ledger, on_alert=alert, provider="openai", answer_tokens=1000)
    with Client(OpenAI(), costs=costs) as client:
        try:
            for _ in range(100):
                client.create(model="gpt-5", input="Hello")
        except BudgetExceeded as error:
            print(error)
    for model, spending in costs.summary("day").by_model.items():
        print(f"{model}: {spending.requests} requests, {spending.output_tokens} tokens out, {spending.cost} USD")
