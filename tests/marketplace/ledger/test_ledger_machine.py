"""The ledger under random operations, crashes among them: it always says what the model says, and every promise is kept."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import Engine

from tests.marketplace.ledger.machine import LedgerMachine


def test_the_ledger_keeps_its_promises_under_random_operations_and_crashes(engine: Engine) -> None:
    examples = 25 if engine.dialect.name == "sqlite" else 8
    run_state_machine_as_test(
        type("Machine", (LedgerMachine,), {"engine": engine}),
        settings=settings(
            max_examples=examples, stateful_step_count=40, deadline=None, database=None, suppress_health_check=list(HealthCheck)
        ),
    )
