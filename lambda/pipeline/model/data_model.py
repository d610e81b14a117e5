"""The domain: the files of a day, their columns and relations, and what is measured. All else follows from `MODEL`."""

from __future__ import annotations

from pipeline.model.record_kinds import Column, ColumnType, Count, DataModel, Parent, RecordKind, Result, Sum

ROW_ID = Column("id", required=False, unique=True)
"""Some partners number their records; then no number may occur twice in a file."""

CUSTOMERS = RecordKind(
    "customers",
    singular="customer",
    identity="customer_reference",
    columns=(
        Column("customer_reference", ColumnType.REFERENCE),
        Column("first_name"),
        Column("last_name"),
        Column("status"),
        ROW_ID,
    ),
)
ORDERS = RecordKind(
    "orders",
    singular="order",
    identity="order_reference",
    parent=Parent(CUSTOMERS, "customer_reference"),
    columns=(
        Column("customer_reference", ColumnType.REFERENCE),
        Column("order_status"),
        Column("order_reference", ColumnType.REFERENCE),
        Column("order_timestamp", ColumnType.TIMESTAMP),
        ROW_ID,
    ),
)
ITEMS = RecordKind(
    "items",
    singular="item",
    parent=Parent(ORDERS, "order_reference"),
    columns=(
        Column("order_reference", ColumnType.REFERENCE),
        Column("item_name"),
        Column("quantity", ColumnType.INTEGER),
        Column("total_price", ColumnType.AMOUNT),
        ROW_ID,
    ),
)

MODEL = DataModel(
    kinds=(CUSTOMERS, ORDERS, ITEMS),
    result=Result(
        measures=(
            Count("number_of_orders", ORDERS),
            Sum("total_amount_spent", ITEMS, "total_price"),
        )
    ),
)
