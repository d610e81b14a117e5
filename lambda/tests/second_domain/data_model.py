"""A domain of another shape than the product's own: two children of the root, both with sums, and a grandchild."""

from __future__ import annotations

from pipeline.model.record_kinds import Column, ColumnType, Count, DataModel, Parent, RecordKind, Result, Sum

ACCOUNTS = RecordKind(
    "accounts",
    singular="account",
    identity="account_number",
    columns=(
        Column("account_number", ColumnType.REFERENCE),
        Column("segment", allowed=("private", "business")),
        Column("branch", required=False),
        Column("rating", ColumnType.INTEGER, required=False),
    ),
)
CONTRACTS = RecordKind(
    "contracts",
    singular="contract",
    identity="contract_number",
    parent=Parent(ACCOUNTS, "account"),
    columns=(
        Column("contract_number", ColumnType.REFERENCE),
        Column("account", ColumnType.REFERENCE),
        Column("volume", ColumnType.AMOUNT),
        Column("signed_at", ColumnType.TIMESTAMP, required=False),
    ),
)
PAYMENTS = RecordKind(
    "payments",
    singular="payment",
    identity="payment_number",
    parent=Parent(CONTRACTS, "contract"),
    columns=(
        Column("payment_number", ColumnType.REFERENCE),
        Column("contract", ColumnType.REFERENCE),
        Column("amount", ColumnType.AMOUNT),
        Column("fee", ColumnType.AMOUNT, required=False),
    ),
)
CREDITS = RecordKind(
    "credits",
    singular="credit",
    parent=Parent(ACCOUNTS, "account_number"),
    columns=(
        Column("account_number", ColumnType.REFERENCE),
        Column("amount", ColumnType.AMOUNT),
        Column("slip", required=False, unique=True),
    ),
)

MODEL = DataModel(
    kinds=(ACCOUNTS, CONTRACTS, PAYMENTS, CREDITS),
    result=Result(
        measures=(
            Sum("contract_volume", CONTRACTS, "volume"),
            Sum("total_paid", PAYMENTS, "amount"),
            Sum("total_fees", PAYMENTS, "fee"),
            Count("number_of_payments", PAYMENTS),
            Sum("total_credited", CREDITS, "amount"),
        ),
        carried=("segment", "branch", "rating"),
    ),
)
