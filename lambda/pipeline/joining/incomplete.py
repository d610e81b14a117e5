"""Customers with an incomplete total: the number of refused records that belong to each."""

from __future__ import annotations

from pipeline.reading.sql import Step, query


def refused_records_by_customer(is_standard: bool = False) -> str:
    """Select (customer, refused_records) of the accepted customers with refused records.

    A refused order belongs to the customer that it names. A refused item belongs to the customer of the order that it
    names: of the accepted order, or else of the first refused order that names an accepted customer. A record whose
    cells can't be assigned to columns belongs to no customer.

    `is_standard` as for `query`: Spark runs the same text over views with the same columns.
    """
    # In each join, the large side is on the left and is streamed; the refused records on the right are in memory.
    steps = [
        Step(
            "lost_orders",
            """SELECT customer, order_reference, line_number
            FROM customers_accepted AS customers JOIN orders_refused AS orders
                ON customers.reference = orders.customer_reference""",
        ),
        Step(
            "accepted_too",
            "SELECT reference FROM orders_accepted WHERE reference IN (SELECT order_reference FROM lost_orders)",
        ),
        Step(
            "numbered_orders",
            """SELECT customer, order_reference,
                row_number() OVER (PARTITION BY order_reference ORDER BY line_number) AS occurrence
            FROM lost_orders LEFT JOIN accepted_too ON order_reference = reference
            WHERE reference IS NULL AND order_reference IS NOT NULL""",
        ),
        Step(
            "orders_by_reference",
            """SELECT customer, reference FROM orders_accepted
            UNION ALL SELECT customer, order_reference AS reference FROM numbered_orders WHERE occurrence = 1""",
        ),
        Step(
            "lost",
            """SELECT customer FROM lost_orders
            UNION ALL SELECT customer FROM orders_by_reference AS orders JOIN items_refused AS items
                ON orders.reference = items.order_reference""",
        ),
    ]
    return f"{query(steps, 'customer, count(*) AS refused_records', is_standard)} GROUP BY customer"
